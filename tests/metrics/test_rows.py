"""What all metrics of samples make of what they are given."""

import textwrap

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skdeep.compose import TabularEncoder
from skdeep.metrics import (
    classifier_two_sample_score,
    closest_record_share,
    frechet_distance,
    manifold_precision_recall,
    novelty_score,
)


def two_sample(X_real, X_sampled, features=None):
    return classifier_two_sample_score(
        X_real,
        X_sampled,
        features=features,
        classifier=LogisticRegression(),
        random_state=0,
    )


def near(X_real, X_sampled, features=None):
    return novelty_score(X_real, X_sampled, features=features, tolerance=0.5)


def closest(X_real, X_sampled, features=None):
    return closest_record_share(X_real, X_sampled, X_real[::-1], features=features)


METRICS = [frechet_distance, manifold_precision_recall, two_sample, near, closest]
# These make distances of numbers; the others compare values of any type.
OF_NUMBERS = [frechet_distance, manifold_precision_recall, near, closest]

every_metric = pytest.mark.parametrize("metric", METRICS)


@pytest.fixture
def pair():
    X, Y = np.random.RandomState(0).normal(size=(2, 40, 3))
    return X, Y + np.array([0, 0.5, 1])


# forms of the same rows


@every_metric
def test_lists_frames_and_tensors_give_the_value_of_arrays(metric, pair):
    X, Y = pair
    expected = metric(X, Y)
    assert metric(X.tolist(), Y.tolist()) == expected
    names = ["a", "b", "c"]
    frame = pd.DataFrame(X, columns=names)
    same = pytest.approx(expected)  # columns lie in memory in another order
    assert metric(frame, pd.DataFrame(Y, columns=names)) == same
    assert metric(frame, Y) == same
    assert metric(pl.DataFrame(X, names), pl.DataFrame(Y, names)) == same
    if metric is not closest:  # tensors have no negative steps
        assert metric(torch.tensor(X), torch.tensor(Y)) == expected


@every_metric
def test_columns_of_frames_are_matched_by_name(metric, pair):
    names = ["a", "b", "c"]
    X, Y = (pd.DataFrame(F, columns=names) for F in pair)
    assert metric(X, Y[["c", "a", "b"]]) == metric(X, Y)
    if metric is not closest:
        for kind in (pl.from_pandas, pa.Table.from_pandas):
            assert metric(kind(X), kind(Y[["c", "a", "b"]])) == metric(kind(X), kind(Y))


@every_metric
def test_the_input_is_left_as_it_is(metric, pair):
    X, Y = pair[0].copy(), pair[1].copy()
    metric(X, Y)
    np.testing.assert_array_equal(X, pair[0])
    np.testing.assert_array_equal(Y, pair[1])


# features


@every_metric
def test_features_are_those_of_a_function_or_of_a_transformer(metric, pair):
    X, Y = pair
    pca = PCA(2).fit(X)
    expected = metric(pca.transform(X), pca.transform(Y))
    assert metric(X, Y, features=pca) == expected
    assert metric(X, Y, features=pca.transform) == expected
    assert metric(X, Y, features=make_pipeline(pca)) == expected


@every_metric
def test_features_may_be_sparse_or_of_more_dimensions(metric, pair):
    X, Y = pair
    expected = metric(X, Y)
    assert metric(X, Y, features=lambda X: sparse.csr_array(X)) == pytest.approx(
        expected
    )
    assert metric(X, Y, features=lambda X: X[:, :, np.newaxis]) == expected


@every_metric
def test_feature_maps_are_given_the_rows_as_they_come(metric, pair):
    seen = []

    def features(X):
        seen.append(X)
        return np.asarray(X).reshape(len(X), -1)

    images = [F.reshape(40, 1, 3, 1) for F in pair]
    metric(*images, features=features)
    assert seen[0] is images[0]
    assert {type(X) for X in seen} == {np.ndarray}
    assert all(X.shape == (40, 1, 3, 1) for X in seen)
    frames = [pd.DataFrame(F) for F in pair]
    metric(*frames, features=features)
    assert seen[-1] is not images[0]
    assert type(seen[-1]) is pd.DataFrame


@every_metric
def test_tables_of_text_are_compared_by_an_encoder(metric):
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0] * 6, "b": ["x", "y", "z"] * 6})
    Y = X[::-1].reset_index(drop=True)
    encoder = make_column_transformer(
        (OneHotEncoder(), ["b"]), remainder=StandardScaler()
    ).fit(X)
    expected = metric(encoder.transform(X), encoder.transform(Y))
    assert metric(X, Y, features=encoder) == expected


# errors


@pytest.mark.parametrize("metric", OF_NUMBERS)
@pytest.mark.parametrize(
    ("other", "error"),
    [
        ("x", ValueError),
        (pd.Timestamp("2020", tz="UTC"), TypeError),
        (np.nan, ValueError),
    ],
)
def test_text_dates_and_gaps_raise_and_name_the_way_out(metric, other, error):
    X = pd.DataFrame({"a": [1.0, 2.0] * 5, "b": [other] * 10})
    with pytest.raises(error, match=r"compares numbers.*features:\n +TabularEncoder\("):
        metric(X, X)


@pytest.mark.parametrize("metric", OF_NUMBERS)
def test_the_way_out_leads_out_of_text_dates_and_gaps(metric):
    rng = np.random.RandomState(0)

    def table(names, gaps):
        days = pd.to_timedelta(rng.randint(0, 900, 40), "D")
        return pd.DataFrame(
            {
                "a": rng.rand(40),
                "b": rng.choice(names, 40),
                "c": pd.Timestamp("2020-01-01") + days,
                "d": pd.Series(rng.rand(40)).mask(rng.rand(40) < gaps),
            }
        )

    X, Y = table(["x", "y"], 0), table(["x", "y", "z"], 0.3)
    with pytest.raises(ValueError, match="as features") as caught:
        metric(X, Y)
    advice = str(caught.value).partition("as features:\n")[2]
    names = {"TabularEncoder": TabularEncoder, "StandardScaler": StandardScaler}
    encoder = eval(textwrap.dedent(advice), names, {"X_real": X})
    assert np.isfinite(metric(X, Y, features=encoder)).all()


@every_metric
@pytest.mark.parametrize("features", ["pca", 3, PCA, np.eye(2)])
def test_what_is_no_feature_map_raises(metric, pair, features):
    with pytest.raises(TypeError, match=r"'features' parameter of .*, or None. Got"):
        metric(*pair, features=features)


@every_metric
def test_a_transformer_that_is_not_fitted_raises(metric, pair):
    with pytest.raises(NotFittedError):
        metric(*pair, features=PCA())


@every_metric
def test_features_of_too_few_rows_raise(metric, pair):
    message = r"features\(X_real\) has 39 rows, but X_real has 40"
    for features in (lambda X: X[1:], FunctionTransformer(lambda X: X[1:])):
        with pytest.raises(ValueError, match=message):
            metric(*pair, features=features)


@pytest.mark.parametrize("metric", OF_NUMBERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_raise_and_name_the_sample(metric, pair, bad):
    X, Y = pair
    spoiled = Y.copy()
    spoiled[3, 1] = bad
    with pytest.raises(ValueError, match=r"X_sampled contains (NaN|infinity)"):
        metric(X, spoiled)
    with pytest.raises(ValueError, match=r"X_real contains (NaN|infinity)"):
        metric(spoiled, X)
    with pytest.raises(ValueError, match=r"features\(X_sampled\) contains"):
        metric(X, spoiled, features=lambda X: X)


@every_metric
def test_different_numbers_of_columns_raise(metric, pair):
    X, Y = pair
    with pytest.raises(ValueError, match=r"X_real, X_sampled.*same number.* 3, 2"):
        metric(X, Y[:, :2])


@every_metric
def test_columns_of_other_names_raise(metric, pair):
    X, Y = pair
    X, Y = pd.DataFrame(X, columns=list("abc")), pd.DataFrame(Y, columns=list("abd"))
    with pytest.raises(
        ValueError, match=r"Only in X_real: \['c'\]; only in X_sampled: \['d'\]"
    ):
        metric(X, Y)


@every_metric
def test_the_pair_that_a_mixture_samples_raises_and_says_so(metric, pair):
    drawn = GaussianMixture(1, random_state=0).fit(pair[0]).sample(40)
    with pytest.raises(ValueError, match=r"GaussianMixture.sample.*X_sampled\[0\]"):
        metric(pair[0], drawn)


@every_metric
def test_no_rows_and_single_numbers_raise(metric, pair):
    with pytest.raises(ValueError, match="0 sample"):
        metric(pair[0], np.empty((0, 3)))
    with pytest.raises(ValueError, match="Expected 2D array"):
        metric(pair[0], pair[1][:, 0])
