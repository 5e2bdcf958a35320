import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator

from skdeep.cluster import AEKMeans, DCNClusterer
from skdeep.metrics import clustering_accuracy_score
from skdeep.representation import AutoencoderTransformer

STILL = {"learning_rate": 1e-12, "tol": 0, "guard": False, "random_state": 0}
"""Steps so small that they move no network: only centroids move."""


def blobs(n=120, centers=3):
    return make_blobs(n, n_features=6, centers=centers, random_state=0)


def fitted_autoencoder(X, **parameters):
    autoencoder = AutoencoderTransformer(
        2, hidden_layer_sizes=(16,), max_iter=20, learning_rate=1e-2, random_state=0
    )
    return FrozenEstimator(autoencoder.set_params(**parameters).fit(X))


@pytest.fixture(scope="module")
def planted():
    X, y = blobs()
    return X, y, fitted_autoencoder(X, early_exaggeration=1)


def spread(Z):
    return Z.var(axis=0).sum()


def within(model, X):
    Z = model.transform(X)
    return ((Z - model.cluster_centers_[model.labels_]) ** 2).sum(axis=1).mean()


# objective


def test_loss_of_the_first_step_is_the_formula(planted):
    X, _, frozen = planted
    start = AEKMeans(3, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    model = DCNClusterer(
        3, autoencoder=frozen, clustering_weight=0.5, max_iter=1, **STILL
    ).fit(X)
    squared_error = -frozen.score(X)
    distance = start.inertia_ / len(X)
    history = {name: values[0] for name, values in model.history_.items()}
    assert history["reconstruction_loss"] == pytest.approx(squared_error, rel=1e-3)
    assert history["clustering_loss"] == pytest.approx(distance, rel=1e-3)
    expected = squared_error + 0.5 * distance
    assert history["loss"] == pytest.approx(expected, rel=1e-3)
    assert -model.score(X) == pytest.approx(expected, rel=1e-3)


def test_clusters_get_tighter_and_stay_apart(planted):
    X, y, frozen = planted
    start = AEKMeans(3, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    options = {"learning_rate": 1e-2, "tol": 0, "max_iter": 60, "guard": False}
    model = DCNClusterer(
        3, autoencoder=frozen, clustering_weight=0.1, random_state=0, **options
    ).fit(X)
    assert clustering_accuracy_score(y, model.labels_) == 1
    before = within(start, X) / spread(start.transform(X))
    assert within(model, X) / spread(model.transform(X)) < 0.8 * before
    loss = model.history_["clustering_loss"]
    assert loss[-1] < 0.8 * loss[0]


def test_larger_weights_make_tighter_clusters_and_rebuild_worse(planted):
    X, _, frozen = planted
    options = {"tol": 0, "guard": False, "max_iter": 40, "random_state": 0}
    light, heavy = (
        DCNClusterer(
            3, n_init=2, autoencoder=frozen, clustering_weight=w, **options
        ).fit(X)
        for w in (1e-3, 1.0)
    )
    assert within(heavy, X) < within(light, X)
    assert heavy.autoencoder_.score(X) < light.autoencoder_.score(X)


def test_without_a_weight_the_autoencoder_goes_on_by_itself(planted):
    X, _, frozen = planted
    options = {"tol": 0, "guard": False, "max_iter": 40, "learning_rate": 1e-2}
    model = DCNClusterer(
        3, autoencoder=frozen, clustering_weight=0, random_state=0, **options
    ).fit(X)
    loss = model.history_["reconstruction_loss"]
    assert loss == model.history_["loss"]
    assert loss[-1] < loss[0]


# collapse


def test_reconstruction_keeps_the_embedding_from_collapsing_to_a_point():
    X, y = blobs(centers=4)
    frozen = fitted_autoencoder(X, max_iter=100, neighbor_weight=0)
    before = spread(frozen.transform(X))
    options = {"learning_rate": 1e-2, "tol": 0, "max_iter": 200, "guard": False}
    model = DCNClusterer(
        4, autoencoder=frozen, clustering_weight=0.1, random_state=0, **options
    ).fit(X)
    assert spread(model.transform(X)) > 0.1 * before
    assert clustering_accuracy_score(y, model.labels_) == 1
    rebuilt = model.inverse_transform(model.transform(X))
    squared_error = ((rebuilt - X) ** 2).sum(axis=1).mean()
    assert squared_error < 0.5 * spread(X)


# centroids


def test_running_means_start_from_kmeans_and_its_sizes(planted):
    # Where no network moves, the means of all that was counted stay the means.
    X, _, frozen = planted
    start = AEKMeans(3, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    model = DCNClusterer(
        3, n_init=2, autoencoder=frozen, max_iter=5, batch_size=32, **STILL
    )
    model.fit(X)
    np.testing.assert_allclose(
        model.cluster_centers_, start.cluster_centers_, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(model.labels_, start.labels_)
    assert model.history_["label_change"] == [0] * 5


def test_rows_move_their_centroid_by_its_count(planted):
    X, _, frozen = planted
    start = AEKMeans(3, n_init=2, autoencoder=frozen, random_state=0).fit(X)
    model = DCNClusterer(
        3,
        autoencoder=frozen,
        augment=lambda x, _: torch.zeros_like(x),
        max_iter=1,
        batch_size=50,
        **STILL,
    ).fit(X)
    # All rows were augmented to one, which pulls the centroid that it is nearest to.
    (z,) = frozen.transform(frozen.estimator.offset_[np.newaxis])
    k = np.linalg.norm(start.cluster_centers_ - z, axis=1).argmin()
    size = np.sum(start.labels_ == k)
    expected = start.cluster_centers_.copy()
    expected[k] = (size * expected[k] + len(X) * z) / (size + len(X))
    np.testing.assert_allclose(model.cluster_centers_, expected, rtol=1e-4, atol=1e-4)


def test_clusters_that_lose_their_rows_are_filled_again():
    X, _ = blobs(60)
    frozen = fitted_autoencoder(X)
    calls = []

    def far(x, _):
        calls.append(len(x))
        # The first batch draws all centroids it is nearest to out of the data.
        return torch.full_like(x, 1e3) if len(calls) <= 20 else x

    model = DCNClusterer(
        2, autoencoder=frozen, augment=far, max_iter=30, batch_size=60, **STILL
    ).fit(X)
    assert len(set(model.labels_)) == 2
    assert np.abs(model.cluster_centers_).max() < 10 * np.abs(model.transform(X)).max()


# assignments


@pytest.mark.parametrize("alpha", [0.3, 1.0, 10.0])
def test_labels_are_the_nearest_centroids_for_any_alpha(planted, alpha):
    X, _, frozen = planted
    model = DCNClusterer(
        5, autoencoder=frozen, alpha=alpha, max_iter=5, random_state=0
    ).fit(X)
    nearest = cdist(model.transform(X), model.cluster_centers_).argmin(axis=1)
    np.testing.assert_array_equal(model.labels_, nearest)
    np.testing.assert_array_equal(model.predict_proba(X).argmax(axis=1), nearest)
    other = clone(model).set_params(alpha=1.0).fit(X)
    np.testing.assert_array_equal(model.transform(X), other.transform(X))


def test_decoder_is_trained_and_prototypes_are_rows(planted):
    X, _, frozen = planted
    before = frozen.estimator.decoder_.state_dict()
    model = DCNClusterer(
        3, n_init=2, autoencoder=frozen, max_iter=60, random_state=0
    ).fit(X)
    after = model.autoencoder_.decoder_.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    prototypes = model.inverse_transform(model.cluster_centers_)
    assert prototypes.shape == (3, 6)
    # Each lies nearest to the rows of its own cluster.
    means = np.stack([X[model.labels_ == k].mean(axis=0) for k in range(3)])
    np.testing.assert_array_equal(cdist(prototypes, means).argmin(axis=1), range(3))


def test_cross_entropy_autoencoders_are_rebuilt_by_their_own_loss():
    X = np.random.RandomState(0).rand(60, 6)
    frozen = fitted_autoencoder(X, loss="binary_cross_entropy")
    model = DCNClusterer(3, n_init=2, autoencoder=frozen, max_iter=1, **STILL).fit(X)
    loss = model.history_["reconstruction_loss"][0]
    assert loss == pytest.approx(-frozen.score(X), rel=1e-3)
