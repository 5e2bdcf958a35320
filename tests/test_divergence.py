"""Fits that go wrong say so: none leaves a NaN behind without a word."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skdeep.callbacks import GradientClipping
from tests.estimators import CLUSTERERS, ESTIMATORS, SMALL, inner_parameter, name_of
from tests.test_common import outputs

rng = np.random.RandomState(0)
X = rng.randn(60, 4)
y = np.arange(60) % 4

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)

# NaN stands there for what is not, and the documentation says so.
MAY_BE_NAN = {"initial_modularity_", "constants_"}


def columns(*values):
    """Rows of which the first columns are replaced."""
    changed = X.copy()
    for place, value in enumerate(values):
        changed[:, place] = value
    return changed


ODD = {
    "huge column": columns(1e30 * X[:, 0]),
    "huge constant": columns(1e30),
    "near the largest": columns(3e38 * np.sign(X[:, 0])),
    "one huge cell": np.where(np.arange(240).reshape(60, 4) == 77, 1e30, X),
    "far from zero": X + 1e8,
    "constant columns": columns(0, 7),
    "all constant": np.full((60, 4), 3.0),
    "zeros": np.zeros((60, 4)),
    "tiny": 1e-30 * X,
    "denormal": 1e-42 * X,
    "two rows": X[:2],
    "duplicates": np.repeat(X[:3], 20, axis=0),
}


def not_finite(value, path=""):
    """Paths of all that is infinite or NaN in what an estimator holds."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    elif hasattr(value, "get_params"):
        parts = value.__getstate__().items()
    else:
        number = isinstance(value, float | np.ndarray | np.generic)
        is_float = number and np.asarray(value).dtype.kind == "f"
        return [path] if is_float and not np.isfinite(value).all() else []
    return [
        found
        for name, part in parts
        if name not in MAY_BE_NAN
        for found in not_finite(part, f"{path}.{name}")
    ]


def diverging(estimator):
    """Let every optimiser of an estimator take steps that are far too long."""
    model = clone(estimator).set_params(random_state=0)
    rates = [name for name in model.get_params() if name.endswith("learning_rate")]
    return model.set_params(**dict.fromkeys(rates, 1e30))


@every_estimator
def test_diverging_fit_raises_and_leaves_an_unfitted_estimator(estimator):
    model = diverging(estimator)
    text = r"diverged: .* became (nan|-?inf) in epoch \d+ of phase '.*'. Try a smaller"
    with pytest.raises(FloatingPointError, match=text):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert [name for name in vars(model) if name.endswith("_")] == []


@pytest.mark.filterwarnings("ignore")  # of collapses, and of few distinct rows
@every_estimator
@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_odd_data_end_in_finite_numbers_or_in_an_error_that_says_why(estimator, data):
    model = clone(estimator).set_params(random_state=0)
    if hasattr(model, "n_clusters"):
        model.set_params(n_clusters=2)
    labels = np.arange(len(data)) % 2
    try:
        model.fit(data, labels)
    except (FloatingPointError, ValueError) as error:
        text = str(error)
        assert any(word in text for word in ("diverged", "too large", "sample"))
        assert [name for name in vars(model) if name.endswith("_")] in (
            [],
            ["n_features_in_"],
        )
        return
    assert not_finite(model) == []
    for method, found in outputs(model, data).items():
        assert np.isfinite(found).all(), method


def test_search_for_what_is_not_finite_finds_it():
    model = clone(SMALL).set_params(max_iter=1).fit(X)
    assert not_finite(model) == []
    model.history_["loss"].append(float("nan"))
    model.scale_[0] = np.inf
    weight = next(model.decoder_.parameters())
    weight.data[0, 0] = np.nan
    found = not_finite(model)
    assert len(found) == 3
    assert any("decoder_.weights" in path for path in found)


# gradient clipping


@pytest.mark.filterwarnings("ignore")  # hardly any of them moves
@every_estimator
def test_gradients_are_clipped_in_every_phase(estimator):
    plain = clone(estimator).set_params(random_state=0).fit(X, y)
    clipped = clone(plain).set_callbacks(GradientClipping(1e-6)).fit(X, y)
    loose = clone(plain).set_callbacks(GradientClipping(1e12)).fit(X, y)
    for method, found in outputs(plain, X).items():
        np.testing.assert_array_equal(found, outputs(loose, X)[method])
    histories = [name for name in vars(plain) if name.endswith("history_")]
    for name in histories:
        assert getattr(plain, name)["loss"] == getattr(loose, name)["loss"]
        assert getattr(plain, name)["loss"] != getattr(clipped, name)["loss"]
    if estimator in CLUSTERERS:
        inner = f"{inner_parameter(estimator)}_"
        before, after = (getattr(m, inner).history_ for m in (plain, clipped))
        assert before["loss"] != after["loss"]


@pytest.mark.parametrize("max_norm", [0, -1, "1", float("nan")])
def test_length_to_clip_to_is_checked(max_norm):
    model = clone(SMALL).set_callbacks(GradientClipping(max_norm))
    with pytest.raises(ValueError, match="'max_norm' parameter of GradientClipping"):
        model.fit(X)
