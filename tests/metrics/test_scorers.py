import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdeep.metrics import (
    CLUSTERING_SCORERS,
    adjusted_rand_scorer,
    clustering_accuracy_score,
    clustering_accuracy_scorer,
    embedding_silhouette_scorer,
    neighbor_modularity_score,
    neighbor_modularity_scorer,
    normalized_mutual_info_scorer,
    stability_scorer,
)

WITH_LABELS = [
    clustering_accuracy_scorer,
    normalized_mutual_info_scorer,
    adjusted_rand_scorer,
]
LABEL_FREE = [embedding_silhouette_scorer, neighbor_modularity_scorer, stability_scorer]
ALL_SCORERS = WITH_LABELS + LABEL_FREE


class FixedLabels(ClusterMixin, BaseEstimator):
    """Puts row i into cluster i modulo n_clusters; the embedding is the input."""

    def __init__(self, n_clusters=1):
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        self.n_rows_ = len(X)
        return self

    def predict(self, X):
        return np.arange(np.shape(X)[0]) % self.n_clusters

    def transform(self, X):
        return X


class Recorder(FixedLabels):
    """Keeps a list, shared by all clones, of the rows that each fit has seen."""

    fits: list

    def fit(self, X, y=None):
        self.fits.append(np.asarray(X))
        return super().fit(X, y)


@pytest.fixture
def blobs():
    X, y = make_blobs(90, centers=3, cluster_std=1.0, random_state=1)
    return X, np.array(["a", "b", "c"])[y]


@pytest.fixture
def kmeans(blobs):
    return KMeans(n_clusters=4, random_state=0).fit(blobs[0])


# Formulas


def test_label_scorers_score_the_predictions_against_y(blobs, kmeans):
    X, y = blobs
    labels = kmeans.predict(X)
    geometric = normalized_mutual_info_score(y, labels, average_method="geometric")
    assert geometric != normalized_mutual_info_score(y, labels)
    assert normalized_mutual_info_scorer(kmeans, X, y) == geometric
    assert clustering_accuracy_scorer(kmeans, X, y) == clustering_accuracy_score(
        y, labels
    )
    assert adjusted_rand_scorer(kmeans, X, y) == adjusted_rand_score(y, labels)


def test_silhouette_is_taken_in_the_embedding(blobs, kmeans):
    X, _ = blobs
    expected = silhouette_score(kmeans.transform(X), kmeans.predict(X))
    assert embedding_silhouette_scorer(kmeans, X) == expected
    assert expected != silhouette_score(X, kmeans.predict(X))


def test_silhouette_takes_a_pipeline_whose_last_step_has_an_embedding(blobs):
    X, _ = blobs
    model = make_pipeline(StandardScaler(), KMeans(3, random_state=0)).fit(X)
    expected = silhouette_score(model.transform(X), model.predict(X))
    assert embedding_silhouette_scorer(model, X) == expected


def test_modularity_is_taken_in_the_input_of_the_clusterer(blobs):
    X, _ = blobs
    X = X * [1, 100]
    model = make_pipeline(StandardScaler(), KMeans(3, random_state=0)).fit(X)
    labels = model.predict(X)
    expected = neighbor_modularity_score(model[0].transform(X), labels)
    assert neighbor_modularity_scorer(model, X) == expected
    assert expected != neighbor_modularity_score(X, labels)


def test_modularity_takes_sparse_rows(blobs):
    X = np.maximum(blobs[0], 0)
    model = KMeans(3, random_state=0).fit(X)
    assert neighbor_modularity_scorer(model, sparse.csr_array(X)) == pytest.approx(
        neighbor_modularity_scorer(model, X)
    )


def test_stability_is_one_for_separated_clusters_and_less_for_split_ones():
    X, _ = make_blobs(150, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    stable = KMeans(3, n_init=5, random_state=0)
    split = KMeans(8, n_init=1, random_state=0)
    assert stability_scorer(stable, X) == 1.0
    assert stability_scorer(split, X) < 0.9


def test_stability_fits_two_clones_on_two_fixed_samples_of_80_percent(blobs):
    X, _ = blobs
    Recorder.fits = []
    model = Recorder(n_clusters=3)
    assert stability_scorer(model, X) == 1.0
    assert not hasattr(model, "n_rows_")
    first, second = (set(map(tuple, rows)) for rows in Recorder.fits)
    assert len(first) == len(second) == 72
    assert first != second
    assert len(first & second) >= 54
    stability_scorer(model, X)
    np.testing.assert_array_equal(Recorder.fits[0], Recorder.fits[2])
    np.testing.assert_array_equal(Recorder.fits[1], Recorder.fits[3])


def test_stability_leaves_a_fitted_estimator_as_it_is(blobs, kmeans):
    before = pickle.dumps(kmeans)
    stability_scorer(kmeans, blobs[0])
    assert pickle.dumps(kmeans) == before


def test_stability_of_what_is_frozen_is_that_of_what_is_inside(blobs):
    split = KMeans(8, n_init=1, random_state=0).fit(blobs[0])
    expected = stability_scorer(split, blobs[0])
    assert stability_scorer(FrozenEstimator(split), blobs[0]) == expected < 1.0


# Many rows


class RowKeeper(FixedLabels):
    """Keeps the rows that it was last asked to predict."""

    def predict(self, X):
        self.asked_ = X
        return super().predict(X)


def test_silhouette_samples_a_fixed_subset_of_many_rows(monkeypatch):
    monkeypatch.setattr("skdeep.metrics._scorers._MAX_SILHOUETTE_ROWS", 100)
    X = np.random.RandomState(0).normal(size=(101, 1))
    model = RowKeeper(n_clusters=3)
    score = embedding_silhouette_scorer(model, X)
    assert score == embedding_silhouette_scorer(RowKeeper(n_clusters=3), X)
    assert len(np.unique(model.asked_)) == len(model.asked_) == 100
    assert score == silhouette_score(model.asked_, model.predict(model.asked_))


def test_modularity_samples_20_000_rows_of_more():
    X = np.arange(20_001.0)[:, np.newaxis]
    model = RowKeeper(n_clusters=2)
    score = neighbor_modularity_scorer(model, X)
    assert score == neighbor_modularity_scorer(RowKeeper(n_clusters=2), X)
    assert len(np.unique(model.asked_)) == len(model.asked_) == 20_000


def test_modularity_samples_many_sparse_rows(monkeypatch):
    monkeypatch.setattr("skdeep.metrics._scorers._MAX_MODULARITY_ROWS", 100)
    X = np.random.RandomState(0).normal(size=(101, 2))
    model = RowKeeper(n_clusters=2)
    score = neighbor_modularity_scorer(model, sparse.csr_array(X))
    assert sparse.issparse(model.asked_)
    assert model.asked_.shape == (100, 2)
    assert score == pytest.approx(neighbor_modularity_scorer(model, X))


# Degenerate results


@pytest.mark.parametrize("scorer", ALL_SCORERS)
@pytest.mark.parametrize("n_clusters", [1, 2, 89, 90])
def test_every_number_of_clusters_gives_a_finite_float(blobs, scorer, n_clusters):
    X, y = blobs
    score = scorer(FixedLabels(n_clusters).fit(X), X, y)
    assert type(score) is float
    assert -1 <= score <= 1


@pytest.mark.parametrize(
    ("scorer", "worst"),
    [
        (clustering_accuracy_scorer, 1 / 3),
        (normalized_mutual_info_scorer, 0.0),
        (adjusted_rand_scorer, 0.0),
        (embedding_silhouette_scorer, -1.0),
        (neighbor_modularity_scorer, 0.0),
        (stability_scorer, 0.0),
    ],
)
def test_one_single_cluster_gets_the_worst_value(blobs, scorer, worst):
    X, y = blobs
    assert scorer(FixedLabels(1).fit(X), X, y) == worst


@pytest.mark.parametrize("scorer", ALL_SCORERS)
def test_one_row_gives_a_finite_score(scorer):
    X = np.zeros((1, 2))
    assert np.isfinite(scorer(FixedLabels(3).fit(X), X, [0]))


@pytest.mark.parametrize("scorer", ALL_SCORERS)
def test_equal_rows_give_a_finite_score(scorer):
    X, y = np.ones((20, 2)), np.arange(20) % 2
    assert np.isfinite(scorer(FixedLabels(2).fit(X), X, y))


# Model selection


@pytest.mark.parametrize("scorer", ALL_SCORERS)
def test_scorer_ranks_a_grid_search(blobs, scorer):
    X, y = blobs
    search = GridSearchCV(
        KMeans(random_state=0), {"n_clusters": [1, 3]}, scoring=scorer, cv=2
    ).fit(X, y)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    assert search.best_params_ == {"n_clusters": 3}
    assert search.score(X, y) == scorer(search.best_estimator_, X, y)


@pytest.mark.parametrize("scorer", LABEL_FREE)
def test_label_free_scorer_ranks_a_grid_search_without_y(blobs, scorer):
    X, _ = blobs
    search = GridSearchCV(
        KMeans(random_state=0),
        {"n_clusters": [1, 3]},
        scoring=scorer,
        cv=[(np.arange(90), np.arange(90))],
    ).fit(X)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    assert search.best_params_ == {"n_clusters": 3}


def test_label_free_scorers_make_a_multimetric_search(blobs):
    X, _ = blobs
    search = GridSearchCV(
        KMeans(random_state=0),
        {"n_clusters": [2, 3]},
        scoring={scorer.__name__: scorer for scorer in LABEL_FREE},
        refit="stability_scorer",
        cv=2,
    ).fit(X)
    for scorer in LABEL_FREE:
        scores = search.cv_results_[f"mean_test_{scorer.__name__}"]
        assert np.all(np.isfinite(scores))


@pytest.mark.parametrize("routing", [False, True])
def test_clustering_scorers_make_a_multimetric_search(blobs, routing):
    X, y = blobs
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            KMeans(random_state=0),
            {"n_clusters": [1, 3, 6]},
            scoring=CLUSTERING_SCORERS,
            refit="ACC",
            cv=2,
        ).fit(X, y)
    for name in ("ACC", "NMI", "ARI"):
        assert np.all(np.isfinite(search.cv_results_[f"mean_test_{name}"]))
    assert search.best_params_ == {"n_clusters": 3}


def test_clustering_scorers_are_those_of_the_papers():
    assert CLUSTERING_SCORERS == {
        "ACC": clustering_accuracy_scorer,
        "NMI": normalized_mutual_info_scorer,
        "ARI": adjusted_rand_scorer,
    }


@pytest.mark.parametrize("scorer", ALL_SCORERS)
def test_scorer_survives_pickling(scorer):
    assert pickle.loads(pickle.dumps(scorer)) is scorer


@pytest.mark.parametrize("scorer", LABEL_FREE)
def test_label_free_scorer_leaves_the_global_generator_untouched(blobs, scorer):
    X, _ = blobs
    model = KMeans(3, random_state=0).fit(X)
    before = np.random.get_state()[1].copy()
    assert scorer(model, X) == scorer(model, X)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("scorer", LABEL_FREE)
def test_label_free_scorer_takes_a_list_and_a_data_frame(blobs, scorer):
    X, _ = blobs
    model = KMeans(3, random_state=0)
    expected = scorer(model.fit(X), X)
    assert scorer(model, X.tolist()) == pytest.approx(expected)
    frame = pd.DataFrame(X, columns=["width", "height"])
    assert scorer(model.fit(frame), frame) == pytest.approx(expected)


# Errors


@pytest.mark.parametrize("scorer", WITH_LABELS)
def test_missing_labels_raise_and_name_the_label_free_scorers(blobs, kmeans, scorer):
    with pytest.raises(ValueError, match=f"{scorer.__name__} needs labels.*silhouette"):
        scorer(kmeans, blobs[0])


@pytest.mark.parametrize("scorer", WITH_LABELS)
def test_labels_of_several_types_are_scored_and_missing_ones_refused(
    blobs, kmeans, scorer
):
    X, y = blobs
    named = np.where(y == "a", None, y)
    with pytest.raises(ValueError, match=r"y has missing|labels_true has missing"):
        scorer(kmeans, X, named)
    named[y == "a"] = 0
    assert scorer(kmeans, X, named) == pytest.approx(scorer(kmeans, X, y))


def test_an_estimator_without_an_embedding_raises(blobs):
    class NoEmbedding(ClusterMixin, BaseEstimator):
        def predict(self, X):
            return np.arange(len(X)) % 2

    with pytest.raises(AttributeError, match="transform"):
        embedding_silhouette_scorer(NoEmbedding(), blobs[0])


def test_modularity_judges_a_pipeline_over_a_table_of_mixed_columns():
    frame = pd.DataFrame({"a": [0.0, 0.1, 9.0, 9.1] * 9, "b": ["x", "x", "y", "y"] * 9})
    encode = make_column_transformer((OneHotEncoder(), ["b"]), remainder="passthrough")
    model = make_pipeline(encode, KMeans(2, n_init=3, random_state=0)).fit(frame)
    assert neighbor_modularity_scorer(model, frame) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda model: GridSearchCV(model, {}, scoring=neighbor_modularity_scorer, cv=2),
        lambda model: make_pipeline("passthrough", model),
        FrozenEstimator,
    ],
)
def test_modularity_judges_the_rows_that_the_clusterer_is_given(blobs, wrapped):
    X = blobs[0] * [1, 1000]
    model = make_pipeline(StandardScaler(), KMeans(3, random_state=0)).fit(X)
    expected = neighbor_modularity_score(
        StandardScaler().fit_transform(X), model[-1].labels_
    )
    assert neighbor_modularity_scorer(model, X) == expected
    assert neighbor_modularity_scorer(wrapped(model).fit(X, None), X) == expected
