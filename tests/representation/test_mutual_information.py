import math
import pickle
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import skdeep
from skdeep.representation import mutual_information
from skdeep.representation._mutual_information import (
    JointCritic,
    SeparableCritic,
    bound_on,
    nwj_loss,
)

ESTIMATORS = ["dv", "nwj", "infonce", "jsd"]
BRIEF = {
    "hidden_layer_sizes": (32, 32),
    "max_iter": 40,
    "batch_size": 128,
    "learning_rate": 5e-3,
    "weight_decay": 0.0,
    "device": "cpu",
    "random_state": 0,
}
BRIEFEST = {**BRIEF, "max_iter": 2}

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def correlated(n, n_columns, nats, seed=0):
    rng = np.random.RandomState(seed)
    correlation = math.sqrt(1 - math.exp(-2 * nats / n_columns))
    X, noise = rng.randn(2, n, n_columns)
    return X, correlation * X + math.sqrt(1 - correlation**2) * noise


X, Y = correlated(1200, 1, nats=1.0)


@cache
def brief(estimator):
    """Estimate once for all tests that hold others against it."""
    return mutual_information(X, Y, estimator=estimator, **BRIEF)


def critic_of(kind):
    return kind(3, 2, [8], torch.Generator().manual_seed(0))


# values


@every_estimator
def test_value_of_correlated_gaussians_is_the_closed_form(estimator):
    rho = np.corrcoef(X[:, 0], Y[:, 0])[0, 1]
    result = brief(estimator)
    assert result.value == pytest.approx(-math.log(1 - rho**2) / 2, abs=0.2)
    assert len(result.history["loss"]) == 40


@pytest.mark.slow
@every_estimator
@pytest.mark.parametrize(("n_columns", "nats"), [(1, 2.0), (20, 2.0), (5, 4.0)])
def test_defaults_come_close_to_the_closed_form(estimator, n_columns, nats):
    X, Y = correlated(10_000, n_columns, nats)
    value = mutual_information(X, Y, estimator=estimator, random_state=0).value
    assert 0.75 * nats < value < 1.08 * nats


@every_estimator
@pytest.mark.parametrize("n", [100, 600])
def test_value_of_independent_columns_is_near_zero(estimator, n):
    X, Y = np.random.RandomState(0).randn(2, n, 10)
    result = mutual_information(X, Y, estimator=estimator, **BRIEF)
    assert abs(result.value) < 0.15
    assert result.training_value > 0.05  # what a critic learns by heart


def test_dependence_without_correlation_is_found():
    x, noise = np.random.RandomState(0).randn(2, 1500)
    assert mutual_information(x, x**2 + 0.3 * noise, **BRIEF).value > 0.4


@every_estimator
def test_sets_may_change_places(estimator):
    there = brief(estimator)
    back = mutual_information(Y, X, estimator=estimator, **BRIEF)
    assert there.value == pytest.approx(back.value, abs=0.1)


def test_units_do_not_matter():
    plain = mutual_information(X, Y, **BRIEF)
    other = mutual_information(1e4 * X + 3e5, 1e-3 * Y - 2, **BRIEF)
    assert plain.value == pytest.approx(other.value, abs=0.02)
    assert mutual_information(8 * X, Y / 4, **BRIEF).value == plain.value


@pytest.mark.parametrize("factor", [2.0**600, 2.0**1000, 2.0**-700, 2.0**-1000])
def test_units_whose_squares_are_no_numbers_do_not_matter_either(factor):
    plain, other = (mutual_information(f * X, Y / f, **BRIEFEST) for f in (1.0, factor))
    assert plain == other


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32])
def test_numbers_of_any_type_are_taken(dtype):
    kinds = (1.0 * (X > 0)).astype(dtype)
    expected = mutual_information(X > 0.0, Y, **BRIEFEST)
    assert mutual_information(kinds, Y, **BRIEFEST) == expected


def test_constant_columns_tell_nothing():
    value = mutual_information(X, np.ones(len(X)), **BRIEF).value
    assert value == pytest.approx(0, abs=1e-3)


def test_infonce_ends_at_its_limit():
    result = mutual_information(X[:80], X[:80], estimator="infonce", **BRIEF)
    assert result.limit == pytest.approx(math.log(10))
    assert 1 < result.value <= result.limit
    assert result.training_value <= result.limit


def test_results_say_what_they_are():
    for estimator in ESTIMATORS:
        result = mutual_information(X, Y, estimator=estimator, **BRIEFEST)
        assert "lower bound in nats" in result.quantity
        assert (result.limit == math.inf) == (estimator != "infonce")
        assert f"{result.value:.3f} nats" in repr(result)
        assert "\n" not in repr(result)
        assert ("limit" in repr(result)) == (estimator == "infonce")
        assert set(result) == {
            *("value", "training_value", "quantity", "limit", "history"),
        }
    assert pickle.loads(pickle.dumps(result)) == result


# parts


@pytest.mark.parametrize("kind", [JointCritic, SeparableCritic])
def test_critics_score_all_pairs(kind):
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    critic = critic_of(kind)
    scores = critic.scores(x, y)
    for i in range(5):
        for j in range(5):
            pair = critic.scores(x[i : i + 1], y[j : j + 1])
            torch.testing.assert_close(scores[i, j], pair[0, 0])


def test_shuffles_leave_no_row_in_its_place():
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    critic = critic_of(JointCritic)
    scores = critic.scores(x, y)
    rng = torch.Generator().manual_seed(0)
    positive, negative = critic.shuffled_scores(x, y, rng)
    torch.testing.assert_close(positive, scores.diagonal())
    off = scores[~torch.eye(5, dtype=torch.bool)]
    # Five rows have four shuffles: each pair comes once.
    torch.testing.assert_close(negative.sort().values, off.sort().values)


def test_nwj_loss_of_pairs_is_minus_the_bound_of_matrices():
    from skdeep.objectives.mutual_information import (
        nwj_bound,
        positives_and_negatives,
    )

    scores = 10 * torch.randn(6, 6, dtype=torch.float64)
    pairs = positives_and_negatives(scores)
    torch.testing.assert_close(nwj_loss(*pairs), -nwj_bound(scores))


@every_estimator
def test_a_critic_too_sure_of_itself_is_shrunk_by_what_other_rows_say(estimator):
    others, scores = 30 * torch.randn(2, 1, 50, 50)
    assert bound_on(estimator, scores, others) == pytest.approx(0, abs=0.05)


# randomness and input


def test_same_seed_gives_the_same_result_and_leaves_generators_alone():
    numpy_state = np.random.get_state()[1].copy()
    torch_state = torch.get_rng_state()
    first = mutual_information(X, Y, **BRIEFEST)
    assert mutual_information(X, Y, **BRIEFEST) == first
    assert mutual_information(X, Y, **{**BRIEFEST, "random_state": 1}) != first
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())


def test_tables_series_lists_and_tensors_are_read_alike():
    first = mutual_information(X, Y, **BRIEFEST)
    for convert in (
        np.ravel,
        pd.DataFrame,
        lambda A: pd.Series(A[:, 0]),
        lambda A: A[:, 0].tolist(),
        lambda A: tuple(A[:, 0]),
        lambda A: pl.Series(A[:, 0]),
        torch.from_numpy,
    ):
        assert mutual_information(convert(X), convert(Y), **BRIEFEST) == first


@every_estimator
def test_modes_of_the_caller_do_not_matter(estimator):
    parameters = {**BRIEFEST, "estimator": estimator}
    expected = mutual_information(X[:200], Y[:200], **parameters)
    with torch.inference_mode(), torch.autocast("cpu"), torch.device("meta"):
        assert mutual_information(X[:200], Y[:200], **parameters) == expected


def test_input_is_not_changed():
    before = X.copy(), Y.copy()
    mutual_information(X, Y, **BRIEFEST)
    np.testing.assert_array_equal(before, (X, Y))


def test_it_runs_on_every_device(device):
    result = mutual_information(X, Y, **{**BRIEFEST, "device": str(device)})
    assert math.isfinite(result.value)


def test_it_is_public():
    assert skdeep.mutual_information is mutual_information


# errors


def test_bad_arrays_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        mutual_information(X, Y[:-1])
    with pytest.raises(ValueError, match="Input Y contains NaN"):
        mutual_information(X, np.where(Y > 0, np.nan, Y))
    with pytest.raises(ValueError, match="leaves 4 to train on and 2 held out"):
        mutual_information(X[:6], Y[:6])


@pytest.mark.parametrize(
    "text", [[["a"]] * 9, np.array(["a"] * 9), pd.Series(["a"] * 9)]
)
def test_text_is_refused_with_the_name_of_what_holds_it(text):
    with pytest.raises(ValueError, match="Y of mutual_information must hold numbers"):
        mutual_information(X[:9], text)
    with pytest.raises(ValueError, match="X of mutual_information must hold numbers"):
        mutual_information(text, Y[:9])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("estimator", "ksg"),
        ("hidden_layer_sizes", (8, 0)),
        ("hidden_layer_sizes", 5),
        ("max_iter", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("test_size", 1.0),
        ("device", "nowhere"),
        ("precision", "float8"),
    ],
)
def test_bad_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of mutual_information"):
        mutual_information(X, Y, **{name: value})


def test_divergence_is_an_error():
    with pytest.raises(FloatingPointError, match="mutual_information diverged"):
        mutual_information(X, Y, **{**BRIEF, "learning_rate": 1e30})
