import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeep.cluster import (
    AEKMeans,
    DECClusterer,
    IDECClusterer,
    NClustersSearch,
    SCANClusterer,
    VaDEClusterer,
)
from skdeep.cluster._n_clusters_search import MAX_ROWS, curve, fewest_clusters
from skdeep.metrics import clustering_accuracy_score, graph_modularity
from skdeep.representation import AutoencoderTransformer, SimCLRTransformer
from tests.estimators import SMALL


def small(n_components=4, **parameters):
    defaults = {"hidden_layer_sizes": (32,), "max_iter": 60, "learning_rate": 1e-2}
    return AutoencoderTransformer(n_components, **{**defaults, **parameters})


def blobs(centers, n=60, n_features=8):
    return make_blobs(n * centers, n_features, centers=centers, random_state=centers)


@pytest.mark.parametrize("n_clusters", [2, 5, 8])
def test_planted_number_is_found(n_clusters):
    X, y = blobs(n_clusters)
    search = NClustersSearch(
        AEKMeans(autoencoder=small()), max_clusters=12, random_state=0
    ).fit(X)
    assert search.n_clusters_ == n_clusters
    assert clustering_accuracy_score(y, search.labels_) > 0.95


@pytest.mark.slow
def test_number_of_digits_is_found_with_defaults():
    X, _ = load_digits(return_X_y=True)
    assert 8 <= NClustersSearch(random_state=0).fit(X).n_clusters_ <= 12


def test_results_are_a_table_from_which_the_best_was_chosen():
    X, _ = blobs(4)
    search = NClustersSearch(
        AEKMeans(autoencoder=small()),
        min_clusters=3,
        max_clusters=9,
        tolerance=0,
        random_state=0,
    ).fit(X)
    table = pd.DataFrame(search.results_)
    assert list(table["n_clusters"]) == [3, 4, 5, 6, 7, 8, 9]
    assert search.n_clusters_ == table["n_clusters"][table["score"].argmax()]
    assert (np.diff(table["inertia"]) < 0).all()


@pytest.mark.parametrize(
    ("tolerance", "cut", "n_clusters"),
    [(0, 0.2, 5), (0.02, 0.2, 4), (0.1, 0.2, 3), (0.02, 0.05, 4), (0.02, 0.025, 5)],
)
def test_fewest_clusters_that_lose_little_are_chosen(tolerance, cut, n_clusters):
    results = {
        "n_clusters": np.array([2, 3, 4, 5, 6]),
        "score": np.array([0.30, 0.61, 0.69, 0.70, 0.70]),
        "cut": np.array([0.1, 0.1, 0.1, cut, 0.3]),
    }
    assert fewest_clusters(results, tolerance) == n_clusters


@pytest.mark.parametrize(
    ("score", "cut", "n_clusters"),
    [
        ([0.50, 0.55, 0.59], [0.0, 0.09, 0.16], 2),  # two halves are divided
        ([0.50, 0.55, 0.59], [0.01, 0.09, 0.16], 4),  # no clusters lie apart
        ([0.02, 0.55, 0.59], [0.0, 0.09, 0.16], 4),  # a few outliers alone do
        ([0.50, 0.61, 0.74], [0.0, 0.0, 0.004], 4),  # so do the best, nearly
        ([0.44, 0.65, 0.66], [0.0, 0.013, 0.12], 3),  # what is chosen is not blurred
    ],
)
def test_few_clusters_that_lie_apart_are_not_divided(score, cut, n_clusters):
    results = {
        "n_clusters": np.array([2, 3, 4]),
        "score": np.array(score),
        "cut": np.array(cut),
    }
    assert fewest_clusters(results, 0.02) == n_clusters
    assert fewest_clusters(results, 0.0) == 4


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_two_large_clusters_are_two(share):
    X, _ = make_blobs([int(600 * share), int(600 * (1 - share))], 6, random_state=0)
    clusterer = AEKMeans(autoencoder=small())
    search = NClustersSearch(clusterer, max_clusters=6, random_state=0).fit(X)
    assert search.n_clusters_ == 2
    assert search.results_["score"].argmax() > 0  # modularity alone divides them


def test_tolerance_costs_nothing_where_clusters_lie_apart():
    X, _ = blobs(8)
    search = NClustersSearch(
        AEKMeans(autoencoder=small()), max_clusters=12, tolerance=0.1, random_state=0
    ).fit(X)
    assert search.n_clusters_ == 8
    assert search.results_["cut"][6] < 0.005


def test_tolerance_sets_how_fine_the_clusters_are():
    X, _ = load_digits(return_X_y=True)
    X = X[:400]
    frozen = FrozenEstimator(small(random_state=0).fit(X))

    def found(tolerance):
        search = NClustersSearch(
            AEKMeans(autoencoder=frozen), tolerance=tolerance, random_state=0
        )
        return search.fit(X).n_clusters_

    assert found(0.2) < found(0.02) < found(0)


def test_clusterer_is_fitted_from_the_pretrained_encoder():
    X, _ = blobs(3)
    clusterer = IDECClusterer(autoencoder=small(), max_iter=2, random_state=5)
    search = NClustersSearch(clusterer, max_clusters=6, random_state=0).fit(X)
    model = search.clusterer_
    assert type(model) is IDECClusterer
    assert (model.n_clusters, model.random_state) == (3, 5)
    assert model.autoencoder.get_params() == clusterer.autoencoder.get_params()
    assert not hasattr(clusterer, "labels_")
    for method in ("predict", "predict_proba", "transform"):
        np.testing.assert_array_equal(
            getattr(search, method)(X), getattr(model, method)(X)
        )
    assert search.score(X) == model.score(X)
    np.testing.assert_array_equal(
        search.inverse_transform(search.cluster_centers_),
        model.inverse_transform(model.cluster_centers_),
    )
    assert not hasattr(NClustersSearch(DECClusterer()), "inverse_transform")


class Recorder:
    """Callback that notes the tasks it sees, in the clusterer too."""

    max_propagation_depth = None

    def __init__(self):
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.seen.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        pass


def test_pretrains_once_and_shows_its_phases():
    X, _ = blobs(3)
    recorder = Recorder()
    clusterer = DECClusterer(autoencoder=small(max_iter=2), max_iter=3, tol=0)
    search = NClustersSearch(clusterer, max_clusters=6, random_state=0)
    search.set_callbacks(recorder).fit(X)
    assert recorder.seen[:5] == ["fit", "pretrain", "epoch", "epoch", "search"]
    assert recorder.seen.count("epoch") == 2 + 3
    assert recorder.seen[-4:] == ["cluster", "epoch", "epoch", "epoch"]


def test_memory_of_the_clusterer_is_used(tmp_path):
    X, _ = blobs(3)
    clusterer = DECClusterer(
        autoencoder=small(max_iter=2), max_iter=1, memory=str(tmp_path)
    )
    search = NClustersSearch(clusterer, max_clusters=6, random_state=0)
    first, second = clone(search).fit(X), clone(search).fit(X)
    assert len(list(tmp_path.rglob("output.pkl"))) == 1
    np.testing.assert_array_equal(first.transform(X), second.transform(X))


def test_scan_takes_its_encoder():
    X, _ = blobs(3)
    encoder = SimCLRTransformer(4, hidden_layer_sizes=(16,), max_iter=20)
    scan = SCANClusterer(encoder=encoder, max_iter=2, self_label_iter=1)
    search = NClustersSearch(scan, max_clusters=5, random_state=0).fit(X)
    np.testing.assert_array_equal(search.predict(X), search.labels_)
    assert not hasattr(search, "inverse_transform")


def test_works_in_a_pipeline_and_under_a_search():
    X, y = blobs(3)
    pipeline = make_pipeline(
        StandardScaler(),
        NClustersSearch(AEKMeans(autoencoder=small()), random_state=0, max_clusters=5),
    )
    grid = GridSearchCV(
        pipeline,
        {"nclusterssearch__clusterer__autoencoder__n_components": [2, 4]},
        scoring="adjusted_rand_score",
        cv=2,
    ).fit(X, y)
    assert grid.best_score_ > 0.9


def test_many_rows_are_clustered_by_a_part_of_them():
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=MAX_ROWS + 1000)
    Z = rng.randn(len(y), 2) + 20 * y[:, None]
    members = [np.flatnonzero(y == j) for j in range(3)]
    neighbors = np.stack([rng.choice(members[j], 5) for j in y])
    results = curve(Z, neighbors, np.array([2, 3, 4]), 1, 0)
    assert results["score"].argmax() == 1
    assert results["score"][1] == pytest.approx(graph_modularity(neighbors, y))
    assert results["cut"][1] == 0
    all_rows = KMeans(3, random_state=0).fit(Z).inertia_
    assert results["inertia"][1] < all_rows


@pytest.mark.parametrize("wrong", [KMeans(), PCA(), GaussianMixture()])
def test_clusterer_without_an_encoder_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match="The 'clusterer' parameter of"):
        NClustersSearch(wrong).fit(blobs(2)[0])


def test_clusterer_that_is_to_choose_its_number_names_the_search():
    with pytest.raises(ValueError, match=r"NClustersSearch chooses one.*'auto'"):
        AEKMeans("auto").fit(blobs(2)[0])


def test_candidates_have_to_be_some():
    with pytest.raises(ValueError, match=r"must be at least min_clusters=5\. Got 4"):
        NClustersSearch(min_clusters=5, max_clusters=4).fit(blobs(2)[0])
    with pytest.raises(ValueError, match="minimum of 5 is required"):
        NClustersSearch(min_clusters=5).fit(blobs(2)[0][:4])
    few = NClustersSearch(AEKMeans(autoencoder=small()), max_clusters=9)
    assert list(few.fit(blobs(2)[0][:6]).results_["n_clusters"]) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", [IDECClusterer, VaDEClusterer])
def test_search_follows_the_device_that_its_parameter_names_by_now(kind):
    X, _ = blobs(3, n=20)
    clusterer = kind(autoencoder=SMALL, max_iter=1)
    search = NClustersSearch(clusterer, max_clusters=3, random_state=0).fit(X)
    expected = search.predict(X)
    search.clusterer_.device = search.clusterer_.autoencoder_.device = "cuda"
    search.set_params(clusterer__device="cpu")
    np.testing.assert_array_equal(search.predict(X), expected)
    assert search.inverse_transform(search.cluster_centers_).shape[1] == X.shape[1]


def test_clusterer_of_a_class_with_few_parameters_is_searched_for():
    class Narrow(DECClusterer):
        def __init__(self, n_clusters=4, random_state=None):
            super().__init__(
                n_clusters, autoencoder=SMALL, max_iter=1, random_state=random_state
            )

    X, _ = blobs(3, n=20)
    search = NClustersSearch(Narrow(), max_clusters=3, random_state=0).fit(X)
    assert search.clusterer_.n_clusters == search.n_clusters_
