import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits, make_blobs

from skdeep.cluster import DECClusterer, VaDEClusterer
from skdeep.representation import AutoencoderTransformer
from skdeep.representation._pixels import correlation, square_image_shape
from skdeep.representation._views import SMALL_MOVES
from skdeep.training import Rows

CPU = torch.device("cpu")


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape)


def digits(side=16, n=300):
    """Digits, each pixel twice as large in either direction."""
    images = np.kron(load_digits().images[:n], np.ones((side // 8, side // 8)))
    return images.reshape(n, -1)


def scenes(n=200, side=20):
    return gaussian_filter(normal(n, side, side), (0, 1.5, 1.5)).reshape(n, -1)


def words(n=300, n_features=400):
    frequency = np.sort(np.random.RandomState(1).rand(n_features) ** 4)
    return (np.random.RandomState(2).rand(n, n_features) < frequency).astype(float)


def shape_of(X):
    n_features = X.shape[1]
    return square_image_shape(Rows(X, np.zeros(n_features), np.ones(n_features), CPU))


@pytest.mark.parametrize("X", [digits(16), digits(32), scenes(), 100 + 7 * scenes()])
def test_pixels_are_recognised(X):
    side = int(np.sqrt(X.shape[1]))
    assert shape_of(X.astype(np.float32)) == (1, side, side)
    assert shape_of(X) == (1, side, side)


@pytest.mark.parametrize(
    "X",
    [
        load_digits().data,  # 8 x 8: a pixel is too much to move by
        digits()[:, :-1],
        digits()[:, np.random.RandomState(0).permutation(256)],
        normal(300, 256),
        make_blobs(300, 400, centers=5, random_state=0)[0],
        np.cumsum(normal(300, 256), axis=1),
        np.cumsum(normal(300, 784), axis=0),
        np.sin(np.arange(400) / 30 + 6 * normal(300, 1)),
        normal(300, 3) @ normal(3, 256),
        words(),
        np.ones((10, 256)),
        normal(1, 256),
    ],
    ids=[
        "small",
        "no square",
        "shuffled",
        "noise",
        "blobs",
        "walks",
        "drift",
        "waves",
        "factors",
        "words",
        "constant",
        "one row",
    ],
)
def test_other_columns_are_not_taken_for_pixels(X):
    assert shape_of(X.astype(np.float32)) is None


def test_sparse_pixels_are_recognised():
    assert shape_of(sparse.csr_matrix(digits())) == (1, 16, 16)


def test_correlation_is_that_of_numpy():
    X = normal(50, 9) + normal(50, 1)
    X[:, 4] = 1  # does not vary, and does not count
    table = np.corrcoef(np.delete(X, 4, 1).T)
    pairs = [(0, 3), (2, 4), (3, 5), (4, 7)]  # three apart, had column 4 been kept
    expected = np.mean([table[i, j] for i, j in pairs])
    assert correlation(torch.from_numpy(X), 3) == pytest.approx(expected)


def small(**parameters):
    settings = {"hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return AutoencoderTransformer(3, **{**settings, **parameters})


def test_flat_pixels_are_moved_by_default():
    X = digits()
    auto, still = small().fit(X), small(augment=None).fit(X)
    assert auto.pixel_shape_ == still.pixel_shape_ == (1, 16, 16)
    assert auto.image_shape_ is None
    assert auto.history_["loss"] != still.history_["loss"]

    def own(x, rng):
        return SMALL_MOVES(x.unflatten(1, (1, 16, 16)), rng).flatten(1)

    assert small(augment=own).fit(X).history_ == auto.history_
    assert small(augment=SMALL_MOVES).fit(X).history_ == auto.history_


@pytest.mark.parametrize(
    "parameters", [{"neighbor_weight": 0}, {"n_neighbors": 5}], ids=["plain", "small"]
)
def test_plain_autoencoders_and_small_images_are_left_as_they_are(parameters):
    X = digits() if "neighbor_weight" in parameters else load_digits().data[:300]
    auto = small(**parameters).fit(X)
    assert auto.history_ == small(augment=None, **parameters).fit(X).history_


@pytest.mark.parametrize("clusterer", [DECClusterer, VaDEClusterer])
def test_deep_stage_moves_the_pixels_that_were_recognised(clusterer):
    X = digits()
    shared = {"autoencoder": small(neighbor_weight=0), "max_iter": 2}
    auto, own, still = (
        clusterer(5, n_init=2, augment=augment, random_state=0, **shared).fit(X)
        for augment in ("auto", SMALL_MOVES, None)
    )
    assert auto.history_["loss"] != still.history_["loss"]
    assert auto.history_ == own.history_
    images = X.reshape(-1, 1, 16, 16)
    shared["autoencoder"] = small(neighbor_weight=0, hidden_layer_sizes=(4,))
    auto, own = (
        clusterer(5, n_init=2, augment=augment, random_state=0, **shared).fit(images)
        for augment in ("auto", SMALL_MOVES)
    )
    assert auto.history_ == own.history_
