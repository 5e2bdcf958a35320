import tracemalloc
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA

from skdeep.metrics import manifold_precision_recall

CENTERS = [[0, 0], [10, 0], [0, 10], [10, 10]]


def naive(X, Y, k):
    def distance(a, b):
        return np.sqrt(((a - b) ** 2).sum())

    def radius(i, rows):
        return sorted(distance(rows[i], b) for j, b in enumerate(rows) if j != i)[k - 1]

    r = [radius(i, X) for i in range(len(X))]
    s = [radius(j, Y) for j in range(len(Y))]
    in_real = np.array([[distance(x, y) <= r[i] for y in Y] for i, x in enumerate(X)])
    in_sampled = np.array(
        [[distance(x, y) <= s[j] for j, y in enumerate(Y)] for x in X]
    )
    return (
        in_real.any(axis=0).mean(),
        in_sampled.any(axis=1).mean(),
        in_real.sum() / (k * len(Y)),
        in_real.any(axis=1).mean(),
    )


def blobs(centers, n=400, std=1.0, seed=0):
    centers = np.asarray(centers, dtype=float)
    X, _ = make_blobs(n, centers=centers, cluster_std=std, random_state=seed)
    return X


@pytest.fixture(scope="module")
def real():
    return blobs(CENTERS)


@pytest.fixture(scope="module")
def sampled():
    return blobs(CENTERS, seed=1)


# formulas


def test_worked_example():
    X = [[0.0], [1.0], [4.0]]  # radii 1, 1, 3
    Y = [[2.5], [6.0], [6.5], [20.0]]  # radii 3.5, 0.5, 0.5, 13.5
    scores = manifold_precision_recall(X, Y, n_neighbors=1)
    assert scores.precision == 3 / 4  # 2.5, 6 and 6.5 are within 3 of 4
    assert scores.recall == 1.0  # all are within 3.5 of 2.5
    assert scores.density == 3 / 4  # in one ball each
    assert scores.coverage == 1 / 3  # the ball around 4


@pytest.mark.parametrize("n_features", [1, 3, 9])
@pytest.mark.parametrize("k", [1, 4])
def test_scores_equal_those_of_a_double_loop(n_features, k):
    rng = np.random.RandomState(k)
    X, Y = rng.normal(size=(30, n_features)), 1.2 * rng.normal(size=(25, n_features))
    scores = manifold_precision_recall(X, Y, n_neighbors=k)
    assert scores == pytest.approx(naive(X, Y, k))
    assert 0 < scores.precision < 1
    assert 0 < scores.coverage < 1


def test_scores_of_tied_integers_equal_those_of_a_double_loop():
    rng = np.random.RandomState(0)
    X, Y = rng.randint(0, 4, size=(40, 8)), rng.randint(0, 4, size=(35, 8))
    scores = manifold_precision_recall(X, Y, n_neighbors=3)
    assert scores == pytest.approx(naive(X, Y, 3))


def test_exchanging_the_samples_exchanges_precision_and_recall(real):
    Y = blobs(CENTERS[:3], n=300, std=1.5, seed=1)
    one, other = manifold_precision_recall(real, Y), manifold_precision_recall(Y, real)
    assert one.precision == other.recall != other.precision
    assert one.recall == other.precision


def test_chunks_do_not_change_the_scores(real, sampled, monkeypatch):
    expected = manifold_precision_recall(real, sampled)
    monkeypatch.setattr("skdeep.metrics._manifold._PAIRS_AT_ONCE", 1000)
    assert manifold_precision_recall(real, sampled) == expected


# right way up


def test_a_good_sampler_has_high_scores(real, sampled):
    scores = manifold_precision_recall(real, sampled)
    assert min(scores) > 0.9
    assert scores.density < 1.1


@pytest.mark.parametrize("spread", [1e-3, 0.1])
def test_a_collapsed_sampler_has_precision_and_no_recall(real, spread):
    collapsed = blobs([CENTERS[0]], std=spread, seed=1)
    scores = manifold_precision_recall(real, collapsed)
    assert scores.precision == 1.0
    assert scores.recall < 0.02
    assert scores.coverage < 0.1


def test_a_scattered_sampler_has_recall_and_no_precision(real):
    scattered = np.random.RandomState(1).uniform(-100, 110, size=(400, 2))
    scores = manifold_precision_recall(real, scattered)
    assert scores.precision < 0.05
    assert scores.density < 0.05
    assert scores.recall > 0.9


def test_each_mode_that_is_left_out_lowers_recall_and_coverage(real):
    scores = [
        manifold_precision_recall(real, blobs(CENTERS[:n], n=400, seed=1))
        for n in (4, 3, 2, 1)
    ]
    for n, found in zip((4, 3, 2, 1), scores, strict=True):
        assert found.recall == pytest.approx(n / 4, abs=0.04)
        assert found.coverage == pytest.approx(n / 4, abs=0.06)
        assert found.precision > 0.95


def test_noise_lowers_precision_and_density_and_not_recall(real, sampled):
    noise = np.random.RandomState(2).normal(size=sampled.shape)
    scores = [
        manifold_precision_recall(real, sampled + s * noise) for s in (0, 1, 3, 10)
    ]
    for less, more in pairwise(scores):
        assert less.precision > more.precision
        assert less.density > more.density
    assert scores[-1].precision < 0.3
    assert scores[-1].recall > 0.9


def test_one_far_row_spoils_precision_and_not_density(real):
    # The ball around it holds everything, which is why there is a density.
    far = np.vstack([real, [[1000.0, 1000.0]]])
    outside = blobs([[30, 30]], seed=1)
    assert manifold_precision_recall(real, outside).precision == 0.0
    scores = manifold_precision_recall(far, outside)
    assert scores.precision == 1.0
    assert scores.density < 0.3
    assert scores.coverage < 0.01


@pytest.mark.parametrize("sentinel", [1e6, 1e10, 1e12])
@pytest.mark.parametrize("n_features", [3, 9])
@pytest.mark.parametrize("n_far", [1, 20])
@pytest.mark.parametrize("columns", [slice(None), slice(1)], ids=["all", "one"])
def test_rows_very_far_away_change_no_distance(sentinel, n_features, n_far, columns):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, n_features))
    Y = rng.normal(size=(150, n_features)) * 1.5 + 0.5
    X[:n_far, columns] = sentinel
    Y[: n_far - 1, columns] = sentinel
    k = 3
    r, s = (np.sort(cdist(F, F))[:, k] for F in (X, Y))
    distances = cdist(X, Y)
    within = distances <= r[:, None]
    expected = (
        within.any(axis=0).mean(),
        (distances <= s).any(axis=1).mean(),
        within.sum() / (k * len(Y)),
        within.any(axis=1).mean(),
    )
    scores = manifold_precision_recall(X, Y, n_neighbors=k)
    np.testing.assert_allclose(scores, expected, rtol=0.01)


def test_distant_samples_score_zero(real):
    assert manifold_precision_recall(real, real + 100) == (0, 0, 0, 0)


# invariances


@pytest.mark.parametrize("n_features", [1, 4, 10, 300])
def test_rows_among_themselves_score_one(n_features):
    X = np.random.RandomState(0).normal(size=(200, n_features))
    scores = manifold_precision_recall(X, X[::-1], n_neighbors=5)
    assert scores == (1.0, 1.0, pytest.approx(6 / 5), 1.0)


@pytest.mark.parametrize("offset", [0, 1e5])
def test_copies_count_in_repeated_rows_and_far_from_the_origin(offset):
    X = np.repeat(np.random.RandomState(0).normal(size=(20, 9)), 10, axis=0) + offset
    scores = manifold_precision_recall(X, X[::-1])
    assert scores[:2] == (1.0, 1.0)
    assert scores.coverage == 1.0
    moved = manifold_precision_recall(X, X + 0.01)
    assert moved == (0, 0, 0, 0)


def test_order_of_rows_shifts_scales_and_rotations_do_not_matter(real):
    Y = blobs(CENTERS[:3], std=1.4, seed=1)
    expected = manifold_precision_recall(real, Y)
    rng = np.random.RandomState(0)
    shuffled = manifold_precision_recall(rng.permutation(real), rng.permutation(Y))
    assert shuffled == pytest.approx(expected)
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    moved = manifold_precision_recall(7 * real @ turn - 3, 7 * Y @ turn - 3)
    assert moved == pytest.approx(expected)


def test_larger_balls_find_more(real):
    Y = blobs(CENTERS, std=2.0, seed=1)
    few, many = (manifold_precision_recall(real, Y, n_neighbors=k) for k in (1, 10))
    assert few.precision < many.precision
    assert few.recall < many.recall
    assert few.coverage < many.coverage


@pytest.mark.parametrize("k", [1, 3])
def test_equal_distributions_have_density_one_and_the_expected_coverage(k):
    X, Y = np.random.RandomState(0).normal(size=(2, 4000, 2))
    scores = manifold_precision_recall(X, Y, n_neighbors=k)
    assert scores.density == pytest.approx(1.0, abs=0.05)
    assert scores.coverage == pytest.approx(1 - 0.5**k, abs=0.02)


# size


def test_pairs_are_never_held_at_once():
    X, Y = np.random.RandomState(0).normal(size=(2, 6000, 20))
    tracemalloc.start()
    try:
        manifold_precision_recall(X, Y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6000 * 6000 * 8 / 10


def test_more_rows_than_a_byte_counts_are_counted():
    X, Y = np.zeros((700, 2)), np.zeros((8, 2))
    scores = manifold_precision_recall(X, Y, n_neighbors=5)
    assert scores == (1.0, 1.0, 700 / 5, 1.0)


# input


def test_sparse_rows_float32_frames_and_images_give_the_same_scores():
    X, Y = np.random.RandomState(0).normal(size=(2, 80, 12)).clip(0).round(2)
    expected = manifold_precision_recall(X, Y)
    for real in (X, sparse.csr_array(X), sparse.csr_matrix(X)):
        for sampled in (Y, sparse.csr_array(Y)):
            assert manifold_precision_recall(real, sampled) == pytest.approx(expected)
    in_float32 = manifold_precision_recall(X.astype(np.float32), Y)
    assert in_float32 == pytest.approx(expected)
    frames = pd.DataFrame(X), pd.DataFrame(Y)
    assert manifold_precision_recall(*frames) == expected
    images = X.reshape(80, 3, 2, 2), Y.reshape(80, 3, 2, 2)
    assert manifold_precision_recall(*images) == expected


def test_features_decide_what_is_near(real):
    X = np.column_stack([real, 100 * np.arange(400)])
    Y = np.column_stack([real, 100 * np.arange(400) + 50])
    assert manifold_precision_recall(X, Y, n_neighbors=1).density > 0
    assert manifold_precision_recall(X, Y, features=lambda X: X[:, :2]).precision == 1
    pca = PCA(1).fit(X)
    expected = manifold_precision_recall(pca.transform(X), pca.transform(Y))
    assert manifold_precision_recall(X, Y, features=pca) == expected


def test_scores_are_named_python_floats(real, sampled):
    scores = manifold_precision_recall(real, sampled)
    assert [type(score) for score in scores] == [float] * 4
    assert scores._fields == ("precision", "recall", "density", "coverage")


def test_the_input_is_left_as_it_is(real, sampled):
    before = real.copy(), sampled.copy()
    manifold_precision_recall(real, sampled)
    np.testing.assert_array_equal(real, before[0])
    np.testing.assert_array_equal(sampled, before[1])


@pytest.mark.parametrize("n_neighbors", [0, -1, 2.5, "5", None])
def test_n_neighbors_that_is_no_positive_integer_raises(real, n_neighbors):
    with pytest.raises(ValueError, match="'n_neighbors' parameter"):
        manifold_precision_recall(real, real, n_neighbors=n_neighbors)


@pytest.mark.parametrize(("n", "named"), [((5, 9), "X_real"), ((9, 1), "X_sampled")])
def test_too_few_rows_for_the_neighbours_raise(n, named):
    X, Y = (np.arange(i)[:, np.newaxis] for i in n)
    with pytest.raises(
        ValueError, match=f"n_neighbors=5 needs at least 6 rows of {named}"
    ):
        manifold_precision_recall(X, Y)
    assert manifold_precision_recall(X + 0.0, X + 0.0, n_neighbors=4)


@pytest.mark.parametrize("unit", [1e-300, 1e-170, 1e160, 1e300])
def test_scores_are_the_same_in_any_unit(unit):
    rng = np.random.RandomState(0)
    X, Y = rng.rand(60, 3), 0.5 + rng.rand(40, 3)
    expected = manifold_precision_recall(X, Y)
    assert manifold_precision_recall(unit * X, unit * Y) == expected
    assert 0 < expected.precision < 1
    as_bytes = manifold_precision_recall(X, X, n_neighbors=np.int8(59))
    assert as_bytes == manifold_precision_recall(X, X, n_neighbors=59)
