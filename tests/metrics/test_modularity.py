import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.neighbors import NearestNeighbors

from skdeep.metrics import graph_modularity, neighbor_modularity_score


def dense_modularity(neighbors, labels):
    n_samples = len(neighbors)
    A = np.zeros((n_samples, n_samples))
    for i, row in enumerate(neighbors):
        for j in row:
            A[i, j] += 1
    W = (A + A.T) / 2
    strengths, total = W.sum(axis=1), W.sum()
    modularity = 0.0
    for i in range(n_samples):
        for j in range(n_samples):
            if labels[i] == labels[j]:
                expected = strengths[i] * strengths[j] / total
                modularity += (W[i, j] - expected) / total
    return modularity


@pytest.fixture
def blobs():
    X, y = make_blobs(120, centers=3, cluster_std=2.0, random_state=0)
    return X, y


@pytest.mark.parametrize("n_neighbors", [1, 5, 15])
@pytest.mark.parametrize("n_clusters", [1, 2, 7])
@pytest.mark.parametrize("at_once", [1, 100, 2**18])
def test_graph_modularity_agrees_with_the_dense_formula(
    n_neighbors, n_clusters, at_once, monkeypatch
):
    monkeypatch.setattr("skdeep.metrics._modularity.EDGES_AT_ONCE", at_once)
    rng = np.random.RandomState(0)
    X = rng.normal(size=(40, 3))
    neighbors = (
        NearestNeighbors(n_neighbors=n_neighbors)
        .fit(X)
        .kneighbors(return_distance=False)
    )
    labels = rng.randint(n_clusters, size=40)
    assert graph_modularity(neighbors, labels) == pytest.approx(
        dense_modularity(neighbors, labels), abs=1e-12
    )


@pytest.mark.parametrize("resolution", [0.0, 0.5, 2.0])
def test_resolution_weighs_the_expected_share(resolution):
    neighbors = [[1], [0], [3], [2]]
    found = graph_modularity(neighbors, [0, 0, 1, 1], resolution=resolution)
    assert found == pytest.approx(1 - resolution / 2)
    one = graph_modularity(neighbors, [0, 0, 0, 0], resolution=resolution)
    assert one == pytest.approx(1 - resolution)


def test_graph_modularity_of_separate_rings_is_one_less_the_inverse_number():
    n_rings, size = 5, 4
    rows = np.arange(n_rings * size)
    neighbors = (rows // size * size + (rows + 1) % size)[:, np.newaxis]
    modularity = graph_modularity(neighbors, rows // size)
    assert modularity == pytest.approx(1 - 1 / n_rings)


def test_one_single_cluster_has_modularity_zero(blobs):
    X, _ = blobs
    assert neighbor_modularity_score(X, np.zeros(len(X))) == 0


def test_modularity_does_not_depend_on_names_or_on_the_order_of_rows(blobs):
    X, y = blobs
    expected = neighbor_modularity_score(X, y)
    names = np.array(["z", "", "m"])[y]
    assert neighbor_modularity_score(X, names) == pytest.approx(expected)
    assert neighbor_modularity_score(X, -y - 1) == pytest.approx(expected)
    order = np.random.RandomState(0).permutation(len(X))
    assert neighbor_modularity_score(X[order], y[order]) == pytest.approx(expected)


def test_planted_labels_have_a_higher_modularity_than_worse_ones(blobs):
    X, y = blobs
    planted = neighbor_modularity_score(X, y)
    spoiled = np.where(np.arange(len(y)) % 4 == 0, (y + 1) % 3, y)
    merged = np.minimum(y, 1)
    assert planted > neighbor_modularity_score(X, spoiled) > 0
    assert planted > neighbor_modularity_score(X, merged)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_magnitude_of_the_rows_does_not_matter(blobs, dtype, kind):
    X, y = blobs
    X = X.astype(dtype)
    info = np.finfo(dtype)
    expected = neighbor_modularity_score(X, y)
    for exponent in (info.minexp, info.minexp // 2 - 20, info.maxexp - 5):
        rows = kind(np.ldexp(X, exponent))
        assert neighbor_modularity_score(rows, y) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.coo_matrix])
def test_sparse_rows_score_as_dense_ones(blobs, container):
    X, y = blobs
    X = np.maximum(X, 0)
    assert neighbor_modularity_score(container(X), y) == pytest.approx(
        neighbor_modularity_score(X, y)
    )


def test_images_are_flattened(blobs):
    X, y = blobs
    images = X.reshape(-1, 1, 2, 1)
    assert neighbor_modularity_score(images, y) == neighbor_modularity_score(X, y)


@pytest.mark.parametrize("n_samples", [1, 2, 5])
def test_fewer_rows_than_neighbors_give_a_finite_modularity(n_samples):
    X = np.random.RandomState(0).normal(size=(n_samples, 2))
    for labels in (np.zeros(n_samples), np.arange(n_samples)):
        assert -0.5 <= neighbor_modularity_score(X, labels) <= 0


def test_equal_rows_give_a_finite_modularity():
    score = neighbor_modularity_score(np.ones((30, 2)), np.arange(30) % 2)
    assert -0.5 <= score <= 1


def test_a_graph_without_edges_has_modularity_zero():
    assert graph_modularity(np.empty((3, 0), dtype=int), [0, 1, 1]) == 0


def test_scores_are_python_floats(blobs):
    assert type(neighbor_modularity_score(*blobs)) is float


@pytest.mark.parametrize(
    "neighbors", [[[1], [2], [3]], [[1], [-1], [0]], [[0.5], [1.0], [2.0]]]
)
def test_neighbors_that_are_no_row_numbers_raise(neighbors):
    with pytest.raises(ValueError, match="row numbers from 0 to n_samples - 1 = 2"):
        graph_modularity(neighbors, [0, 1, 1])


@pytest.mark.parametrize(
    ("neighbors", "labels"), [([1, 0], [0, 1]), ([[1], [0]], [0, 1, 1])]
)
def test_neighbors_that_do_not_fit_the_labels_raise(neighbors, labels):
    with pytest.raises(ValueError, match="neighbors of shape"):
        graph_modularity(neighbors, labels)


def test_labels_of_another_length_raise(blobs):
    X, y = blobs
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        neighbor_modularity_score(X, y[:-1])


@pytest.mark.parametrize("n_neighbors", [0, -3, 2.5, "15", None])
def test_n_neighbors_that_is_not_a_positive_integer_raises(blobs, n_neighbors):
    with pytest.raises(ValueError, match="'n_neighbors' parameter"):
        neighbor_modularity_score(*blobs, n_neighbors=n_neighbors)


def test_missing_values_raise():
    with pytest.raises(ValueError, match="contains NaN"):
        neighbor_modularity_score([[0.0], [np.nan]], [0, 1])


@pytest.mark.parametrize("resolution", ["1", np.nan, np.inf, -1.0])
def test_resolution_out_of_range_raises(resolution):
    with pytest.raises(ValueError, match="'resolution' parameter of graph_modularity"):
        graph_modularity([[1], [0]], [0, 1], resolution=resolution)


def test_labels_may_be_of_several_types():
    assert graph_modularity([[1], [0], [3], [2]], ["a", "a", 1, 1]) == 0.5


@pytest.mark.parametrize(
    "labels", [[0.0, np.nan], ["a", np.nan], np.array(["a", None], object)]
)
def test_missing_labels_raise(labels):
    with pytest.raises(ValueError, match="labels with missing values"):
        graph_modularity([[1], [0]], labels)


def test_a_row_among_its_own_neighbors_is_no_edge(blobs):
    X, y = blobs
    search = NearestNeighbors(n_neighbors=6).fit(X)
    expected = graph_modularity(search.kneighbors(n_neighbors=5)[1], y)
    assert graph_modularity(search.kneighbors(X)[1], y) == expected
    assert graph_modularity([[0], [1]], [0, 1]) == 0.0


def test_sparse_rows_stay_as_they_were_and_may_be_read_only(blobs):
    X, y = blobs
    whole = sparse.csr_matrix(np.abs(X))
    parts = np.repeat(whole.data / 2, 2), np.repeat(whole.indices, 2), 2 * whole.indptr
    for part in parts:
        part.flags.writeable = False
    twice = sparse.csr_matrix(parts, shape=whole.shape)
    assert neighbor_modularity_score(twice, y) == neighbor_modularity_score(whole, y)
    assert twice.nnz == 2 * whole.nnz


def test_numbers_of_neighbors_may_be_narrow_integers(blobs):
    expected = neighbor_modularity_score(*blobs, n_neighbors=100)
    assert neighbor_modularity_score(*blobs, n_neighbors=np.int8(100)) == expected
    expected = neighbor_modularity_score(*blobs, n_neighbors=127)
    assert neighbor_modularity_score(*blobs, n_neighbors=np.int8(127)) == expected


def test_tiny_numbers_beside_usual_ones_change_nothing():
    rng = np.random.RandomState(0)
    y = np.arange(300) % 3
    told = y + 0.1 * rng.rand(300)
    X = np.column_stack([1e-11 * rng.rand(300, 4), told]).astype(np.float32)
    expected = neighbor_modularity_score(told[:, None].astype(np.float32), y)
    assert neighbor_modularity_score(X, y) == pytest.approx(expected)
    assert expected > 0.6
