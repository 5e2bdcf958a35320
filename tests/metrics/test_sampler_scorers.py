import pickle
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdeep.compose import make_sampler_pipeline
from skdeep.metrics import (
    SAMPLER_SCORERS,
    classifier_two_sample_score,
    classifier_two_sample_scorer,
    frechet_distance,
    frechet_scorer,
    manifold_f_scorer,
    manifold_precision_recall,
    manifold_precision_scorer,
    manifold_recall_scorer,
)

ALL_SCORERS = list(SAMPLER_SCORERS.values())
OF_DISTANCES = [s for s in ALL_SCORERS if s is not classifier_two_sample_scorer]

every_scorer = pytest.mark.parametrize("scorer", ALL_SCORERS)


class Normal(DensityMixin, BaseEstimator):
    """Draws from a normal distribution around the mean of the rows."""

    def __init__(self, std=1.0):
        self.std = std

    def fit(self, X, y=None):
        self.mean_ = np.asarray(X).mean(axis=0)
        return self

    def sample(self, n_samples=1, *, random_state=None):
        rng = np.random.RandomState(random_state)
        self.asked_ = n_samples, random_state
        return rng.normal(self.mean_, self.std, size=(n_samples, len(self.mean_)))


class SamplingPipeline(Pipeline):
    """A pipeline whose samples come back through its steps."""

    def sample(self, n_samples=1, **arguments):
        rows = self[-1].sample(n_samples, **arguments)
        return self[:-1].inverse_transform(rows)


@pytest.fixture(scope="module")
def blobs():
    X, _ = make_blobs(120, centers=3, cluster_std=1.0, random_state=1)
    return X


@pytest.fixture(scope="module")
def density(blobs):
    return KernelDensity(bandwidth=0.5).fit(blobs)


# formulas


def test_scorers_compare_as_many_samples_with_the_rows(blobs, density):
    rows = density.sample(120, random_state=0)
    scores = manifold_precision_recall(blobs, rows)
    P, R = scores.precision, scores.recall
    auc = classifier_two_sample_score(blobs, rows, random_state=0)
    assert frechet_scorer(density, blobs) == -frechet_distance(blobs, rows)
    assert classifier_two_sample_scorer(density, blobs) == 1 - abs(2 * auc - 1)
    assert manifold_precision_scorer(density, blobs) == P
    assert manifold_recall_scorer(density, blobs) == R
    assert manifold_f_scorer(density, blobs) == pytest.approx(2 * P * R / (P + R))


def test_rows_and_seed_are_the_same_for_all_candidates(blobs):
    model = Normal().fit(blobs)
    frechet_scorer(model, blobs[:30])
    assert model.asked_ == (30, 0)


@every_scorer
def test_wide_and_shifted_samplers_score_less(blobs, scorer):
    center = blobs - blobs.mean(axis=0)
    right = make_pipeline(PCA(whiten=True), Normal()).fit(center)
    near = scorer(right, center)
    if scorer is not manifold_recall_scorer:  # which scattered rows improve
        assert (
            scorer(make_pipeline(PCA(whiten=True), Normal(9)).fit(center), center)
            < near
        )
    assert scorer(right, center + 30) < near


@pytest.mark.parametrize("mixture", [GaussianMixture, BayesianGaussianMixture])
@every_scorer
def test_mixtures_score_the_same_each_time_and_stay_as_they_are(blobs, scorer, mixture):
    model = mixture(n_components=3).fit(blobs)
    before, state = pickle.dumps(model), np.random.get_state()[1].copy()
    assert scorer(model, blobs) == scorer(model, blobs)
    assert pickle.dumps(model) == before
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_a_mixture_is_drawn_from_with_the_seed_of_all(blobs):
    model = GaussianMixture(3, random_state=5).fit(blobs)
    model.set_params(random_state=0)
    rows, _ = model.sample(120)
    model.set_params(random_state=5)
    expected = -frechet_distance(blobs, rows)
    assert frechet_scorer(model, blobs) == pytest.approx(expected, rel=1e-9)


def test_many_rows_are_sampled_to_10_000():
    X = np.random.RandomState(0).normal(size=(10_050, 1))
    model = Normal().fit(X)
    assert frechet_scorer(model, X) == frechet_scorer(model, X)
    assert model.asked_ == (10_000, 0)


# pipelines


@pytest.mark.parametrize("scorer", OF_DISTANCES)
@pytest.mark.parametrize("pipeline", [Pipeline, SamplingPipeline])
def test_distances_are_those_of_the_prepared_rows(blobs, scorer, pipeline):
    X = blobs * [1, 1000]
    model = pipeline([("scale", StandardScaler()), ("kde", KernelDensity())]).fit(X)
    assert scorer(model, X) == scorer(model[-1], model[0].transform(X))
    assert scorer(model, X) != scorer(KernelDensity().fit(X), X)


def test_trees_see_the_rows_as_they_are_if_the_pipeline_can_sample(blobs):
    X = np.round(blobs)
    steps = [("scale", StandardScaler()), ("kde", KernelDensity(bandwidth=0.05))]
    plain, sampling = Pipeline(steps).fit(X), SamplingPipeline(steps).fit(X)
    rows = plain[:-1].inverse_transform(plain[-1].sample(120, random_state=0))
    auc = classifier_two_sample_score(X, rows, random_state=0)
    assert classifier_two_sample_scorer(sampling, X) == 1 - abs(2 * auc - 1)
    assert classifier_two_sample_scorer(plain, X) == pytest.approx(
        classifier_two_sample_scorer(sampling, X), abs=0.05
    )


def test_features_see_the_rows_as_they_are_if_the_pipeline_can_sample(blobs):
    steps = [("scale", StandardScaler()), ("kde", KernelDensity())]
    model = SamplingPipeline(steps).fit(blobs)
    score = frechet_scorer(model, blobs, features=lambda X: 3 * X)
    rows = model.sample(120, random_state=0)
    assert score == pytest.approx(-9 * frechet_distance(blobs, rows))


def test_a_pipeline_of_one_step_is_that_step(blobs, density):
    model = make_pipeline(KernelDensity(bandwidth=0.5)).fit(blobs)
    assert frechet_scorer(model, blobs) == frechet_scorer(density, blobs)


@every_scorer
def test_a_pipeline_that_ends_in_a_mixture_scores_the_same_each_time(blobs, scorer):
    for pipeline in (Pipeline, SamplingPipeline):
        class_ = pipeline if pipeline is Pipeline else MixturePipeline
        model = class_(
            [("scale", StandardScaler()), ("mix", GaussianMixture(2, random_state=0))]
        )
        model.fit(blobs)
        assert scorer(model, blobs) == scorer(model, blobs)


class MixturePipeline(Pipeline):
    """Samples of a mixture, back through the steps, without a seed to give."""

    def sample(self, n_samples=1):
        rows, components = self[-1].sample(n_samples)
        return self[:-1].inverse_transform(rows), components


def test_tables_of_text_are_compared_as_the_pipeline_prepares_them():
    numbers = np.random.RandomState(0).normal(size=60)
    X = pd.DataFrame({"a": numbers, "b": np.where(numbers > 0, "x", "y")})
    encode = make_column_transformer((OneHotEncoder(), ["b"]), remainder="passthrough")
    model = make_pipeline(encode, KernelDensity(bandwidth=0.1)).fit(X)
    assert -0.2 < frechet_scorer(model, X) <= 0
    for scorer in OF_DISTANCES:
        assert scorer(model, X) == scorer(model[-1], encode.fit_transform(X))


# what one score alone cannot tell


def test_one_good_row_has_the_best_precision_and_no_recall(blobs):
    model = Normal(std=0.0).fit(blobs[:1])
    assert manifold_precision_scorer(model, blobs) == 1.0
    assert manifold_recall_scorer(model, blobs) <= 1 / 120
    assert manifold_f_scorer(model, blobs) < 0.02


def test_distant_rows_have_an_f_of_zero(blobs):
    model = Normal().fit(blobs + 100)
    assert manifold_f_scorer(model, blobs) == 0.0


def test_a_sampler_of_training_rows_scores_nearly_best():
    train, test = np.random.RandomState(0).normal(size=(2, 1500, 2))
    copies = KernelDensity(bandwidth=1e-9).fit(train)
    good, wide = Normal().fit(train), Normal(9.0).fit(train)
    for scorer in OF_DISTANCES:
        assert scorer(copies, test) > scorer(good, test) - 0.1
        if scorer is not manifold_recall_scorer:
            assert scorer(copies, test) > scorer(wide, test) + 0.1


# searches


@every_scorer
def test_scorer_ranks_a_grid_search_without_labels(blobs, scorer):
    if scorer is manifold_recall_scorer:  # the best recall is that of scattered rows
        grid, best = {"bandwidth": [1e-4, 10.0]}, 10.0
    else:
        grid, best = {"bandwidth": [0.3, 10.0]}, 0.3
    search = GridSearchCV(
        KernelDensity(), grid, scoring=scorer, cv=KFold(2, shuffle=True, random_state=0)
    ).fit(blobs)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    assert search.best_params_ == {"bandwidth": best}
    assert search.score(blobs) == scorer(search.best_estimator_, blobs)


@pytest.mark.parametrize("features", [None, np.asarray])
def test_searches_and_frozen_samplers_score_as_what_is_in_them(blobs, features):
    scorer = partial(frechet_scorer, features=features)
    mixture = GaussianMixture(2, random_state=0)
    steps = StandardScaler(), mixture
    for model in mixture, make_pipeline(*steps), make_sampler_pipeline(*steps):
        search = GridSearchCV(model, {}, scoring=scorer, cv=2).fit(blobs)
        expected = scorer(search.best_estimator_, blobs)
        assert scorer(search, blobs) == expected
        assert scorer(FrozenEstimator(search.best_estimator_), blobs) == expected


@pytest.mark.parametrize("routing", [False, True])
def test_all_scorers_make_a_multimetric_search(blobs, routing):
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            GaussianMixture(random_state=0),
            {"n_components": [1, 3]},
            scoring=SAMPLER_SCORERS,
            refit="frechet",
            cv=KFold(2, shuffle=True, random_state=0),
        ).fit(blobs)
    for name in SAMPLER_SCORERS:
        scores = search.cv_results_[f"mean_test_{name}"]
        assert np.all(np.isfinite(scores))
        if name not in ("frechet", "recall"):
            assert scores[1] > scores[0]


@pytest.mark.parametrize(
    "scorer",
    [
        pytest.param(classifier_two_sample_scorer, marks=pytest.mark.slow),
        manifold_f_scorer,
    ],
)
def test_the_number_of_components_is_found(scorer):
    X, _ = make_blobs(400, centers=[[0, 0], [9, 0], [0, 9], [9, 9]], random_state=0)
    search = GridSearchCV(
        GaussianMixture(random_state=0),
        {"n_components": [1, 2, 4]},
        scoring=scorer,
        cv=KFold(2, shuffle=True, random_state=0),
    ).fit(X)
    assert search.best_params_ == {"n_components": 4}


def test_features_are_given_by_a_partial_function(blobs):
    scaler = StandardScaler().fit(blobs)
    scorer = pickle.loads(pickle.dumps(partial(frechet_scorer, features=scaler)))
    scores = cross_val_score(KernelDensity(), blobs, scoring=scorer, cv=3)
    plain = cross_val_score(KernelDensity(), blobs, scoring=frechet_scorer, cv=3)
    assert np.all(np.isfinite(scores))
    assert not np.any(np.isclose(scores, plain))


@pytest.mark.parametrize("scorer", OF_DISTANCES)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_features_know_the_columns_of_sampled_rows(blobs, scorer, kind):
    frame = kind({"width": blobs[:, 0], "height": blobs[:, 1]})
    model = Normal().fit(frame)
    found = scorer(model, frame, features=StandardScaler().fit(frame))
    expected = scorer(model, blobs, features=StandardScaler().fit(blobs))
    assert found == pytest.approx(expected)


def test_features_may_choose_columns_by_name(blobs):
    frame = pd.DataFrame(blobs, columns=["width", "height"])
    found = frechet_scorer(Normal().fit(frame), frame, features=lambda X: X[["height"]])
    expected = frechet_scorer(Normal().fit(blobs), blobs, features=lambda X: X[:, 1:])
    assert found == pytest.approx(expected)


def test_the_fold_that_is_held_out_is_compared(blobs):
    scores = cross_val_score(KernelDensity(), blobs, scoring=manifold_f_scorer, cv=3)
    assert scores.tolist() == [
        manifold_f_scorer(KernelDensity().fit(blobs[train]), blobs[test])
        for train, test in KFold(3).split(blobs)
    ]


@every_scorer
def test_scorer_survives_pickling(scorer):
    assert pickle.loads(pickle.dumps(scorer)) is scorer


def test_the_dictionary_holds_the_scorers():
    assert SAMPLER_SCORERS == {
        "frechet": frechet_scorer,
        "two_sample": classifier_two_sample_scorer,
        "precision": manifold_precision_scorer,
        "recall": manifold_recall_scorer,
        "f": manifold_f_scorer,
    }


@every_scorer
def test_labels_are_ignored_and_scores_are_floats(blobs, density, scorer):
    score = scorer(density, blobs, np.arange(120) % 3)
    assert type(score) is float
    assert score == scorer(density, blobs)


# input


@every_scorer
def test_lists_and_frames_score_as_arrays(blobs, scorer):
    frame = pd.DataFrame(blobs, columns=["width", "height"])
    expected = scorer(Normal().fit(blobs), blobs)
    assert scorer(Normal().fit(blobs), blobs.tolist()) == expected
    assert scorer(Normal().fit(frame), frame) == pytest.approx(expected)


@pytest.mark.parametrize("scorer", OF_DISTANCES)
def test_sparse_rows_score_as_dense_ones(blobs, scorer):
    X = blobs.clip(0)
    model = Normal().fit(X)
    assert scorer(model, sparse.csr_array(X)) == pytest.approx(scorer(model, X))


@every_scorer
@pytest.mark.parametrize("model", [PCA(), make_pipeline(StandardScaler(), PCA())])
def test_an_estimator_that_cannot_sample_raises(blobs, scorer, model):
    with pytest.raises(
        TypeError, match=rf"{scorer.__name__} needs an estimator with sample.*PCA\(\)"
    ):
        scorer(model.fit(blobs), blobs)


@pytest.mark.parametrize("scorer", OF_DISTANCES)
def test_a_sampler_that_diverged_raises(blobs, scorer):
    model = Normal().fit(blobs)
    model.mean_ = model.mean_ * np.nan
    with pytest.raises(ValueError, match="X_sampled contains NaN"):
        scorer(model, blobs)


@every_scorer
def test_one_row_raises(density, blobs, scorer):
    with pytest.raises(ValueError, match=r"at least \d rows|number of rows"):
        scorer(density, blobs[:1])
