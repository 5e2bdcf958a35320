from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from skdeep.cluster import AEKMeans, DECClusterer, VaDEClusterer, _graph_kmeans
from skdeep.cluster import _starts as starts_module
from skdeep.cluster._graph_kmeans import (
    N_NEIGHBORS,
    Partition,
    joined,
    kmeans,
    kmeans_of_graph,
    kmeans_of_joined,
    kmeans_of_spectrum,
    number_of_best,
)
from skdeep.cluster._n_clusters_search import curve
from skdeep.cluster._online import place_anew
from skdeep.cluster._starts import (
    GRAPH_STARTS,
    MOST_OF_MIXTURES,
    STARTS,
    closed_sample,
    clusters_of_graph,
    mixture,
    resolved_init,
    started,
)
from skdeep.metrics import clustering_accuracy_score, graph_modularity
from skdeep.representation import AutoencoderTransformer, SimCLRTransformer
from skdeep.representation import _neighbors as neighbors_module
from skdeep.representation._neighbors import nearest_neighbors
from skdeep.training import Rows

SMALL = AutoencoderTransformer(
    2, hidden_layer_sizes=(16,), max_iter=20, learning_rate=1e-2, batch_size=32
)


def graph(X, k=N_NEIGHBORS):
    search = NearestNeighbors(n_neighbors=k).fit(X)
    return search.kneighbors(return_distance=False)


def blobs(n=300, centers=4):
    X, y = make_blobs(n, 3, centers=centers, cluster_std=0.5, random_state=1)
    return X.astype(np.float32), y


@pytest.mark.parametrize("init", [*GRAPH_STARTS, *STARTS])
def test_every_start_finds_planted_clusters_and_says_whose_centers_they_are(init):
    X, y = blobs()
    found = started(init, X, 4, 8, 0, graph(X))
    assert clustering_accuracy_score(y, found.labels_) == 1
    means = [X[found.labels_ == label].mean(0) for label in range(4)]
    np.testing.assert_allclose(found.cluster_centers_, means, atol=0.1)


@pytest.mark.parametrize("init", [*GRAPH_STARTS, *STARTS])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_start_takes_few_codes(init, n):
    X, _ = blobs(n, centers=1)
    found = started(init, X, 1, 2, 0, graph(X, max(0, n - 1)) if n > 1 else X[:, :0])
    np.testing.assert_allclose(found.cluster_centers_, X.mean(0)[None], atol=1e-5)
    assert (found.labels_ == 0).all()


@pytest.mark.parametrize("init", [*GRAPH_STARTS, *STARTS])
def test_a_seed_always_gives_the_same_start(init):
    X, _ = blobs()
    first, second = (started(init, X, 5, 4, 3, graph(X)) for _ in range(2))
    np.testing.assert_array_equal(first.cluster_centers_, second.cluster_centers_)
    np.testing.assert_array_equal(first.labels_, second.labels_)


@pytest.mark.parametrize("init", STARTS)
def test_starts_label_codes_as_they_labelled_them_also_far_from_zero(init):
    X, y = blobs()
    found = started(init, X + 50, 4, 8, 0, None)
    assert clustering_accuracy_score(y, found.labels_) == 1
    np.testing.assert_array_equal(found.predict(X + 50), found.labels_)


def test_mixture_tells_clusters_apart_that_are_long_in_other_directions():
    rng = np.random.RandomState(0)
    y = np.arange(400) % 2
    Z = rng.randn(len(y), 2) * np.array([[3, 0.3], [0.3, 3]])[y]
    Z = (Z + np.array([[0, 0], [3.5, 0]])[y]).astype(np.float32)
    for codes in (Z, Z / 10_000):
        accuracy = {
            init: clustering_accuracy_score(
                y, started(init, codes, 2, 8, 0, None).labels_
            )
            for init in ("kmeans", "tied", "gmm")
        }
        assert max(accuracy["kmeans"], accuracy["tied"]) < 0.85 < 0.95 < accuracy["gmm"]


@pytest.mark.parametrize("init", ["gmm", "tied", "spectral"])
def test_starts_of_some_codes_draw_them_from_all_where_rows_come_sorted(
    init, monkeypatch
):
    monkeypatch.setattr(starts_module, "MOST_OF_MIXTURES", 150)
    monkeypatch.setattr(starts_module, "MOST_SPECTRAL", 150)
    X, y = blobs()
    order = np.argsort(y)
    found = started(init, X[order], 4, 8, 0, None)
    assert clustering_accuracy_score(y[order], found.labels_) == 1


def test_smoothing_averages_codes_over_their_neighbors_and_themselves_twice():
    Z = np.random.RandomState(0).randn(120, 2).astype(np.float32)
    near = np.eye(120)
    np.put_along_axis(near, graph(Z), 1, axis=1)
    near /= near.sum(axis=1, keepdims=True)
    found = started("smooth", Z, 3, 10, 0, None)
    smoothed = near @ near @ Z
    means = [smoothed[found.labels_ == label].mean(0) for label in range(3)]
    np.testing.assert_allclose(found.cluster_centers_, means, atol=1e-5)


def test_rows_that_smoothing_makes_equal_are_not_called_duplicates():
    Z = np.array([[0, 0], [1, 1], [5, 5]], dtype=np.float32)
    assert len(started("smooth", Z, 3, 1, 0, None).labels_) == 3  # no warning


def test_start_of_the_graph_is_the_kmeans_of_largest_modularity():
    X, _ = blobs(centers=6)
    neighbors = graph(X)
    found = kmeans_of_graph(X, 9, 10, 0, neighbors)
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=10)
    runs = [KMeans(9, n_init=1, random_state=int(seed)).fit(X) for seed in seeds]
    runs += kmeans_of_joined(X, 9, int(seeds[0]), neighbors)
    runs += kmeans_of_spectrum(X, 9, 10, 0)
    scores = [graph_modularity(neighbors, run.labels_) for run in runs]
    assert min(scores) < max(scores)
    assert graph_modularity(neighbors, found.labels_) == pytest.approx(max(scores))
    slack = (max(scores) - min(scores)) / 2
    near = [
        r.inertia_
        for r, s in zip(runs, scores, strict=True)
        if s >= max(scores) - slack
    ]
    by_both = kmeans_of_graph(X, 9, 10, 0, neighbors, slack=slack)
    assert by_both.inertia_ == pytest.approx(min(near), rel=1e-6)
    assert by_both.inertia_ < max(near)


def test_graph_decides_where_the_inertia_of_the_codes_misleads():
    # The codes of one long cluster are cheaper to cut than to keep; its rows are near.
    rng = np.random.RandomState(0)
    long = np.column_stack([np.linspace(-6, 6, 200), rng.randn(200) * 0.1])
    small = [rng.randn(30, 2) * 0.1 + center for center in ([0, 2.5], [0, 4])]
    Z = np.vstack([long, *small]).astype(np.float32)
    y = np.repeat([0, 1, 2], [200, 30, 30])
    rows = np.eye(3)[y] * 10 + rng.randn(len(y), 3)
    by_graph = kmeans_of_graph(Z, 3, 30, 0, graph(rows))
    by_inertia = kmeans(Z, 3, 30, 0)
    assert by_inertia.inertia_ < by_graph.inertia_
    neighbors = graph(rows)
    assert graph_modularity(neighbors, by_graph.labels_) > graph_modularity(
        neighbors, by_inertia.labels_
    )


def unequal():
    """Three clusters, of which one has four times as many rows as the others."""
    rng = np.random.RandomState(0)
    y = np.repeat([0, 1, 2], [400, 50, 50])
    Z = rng.randn(len(y), 2) + np.array([[0, 0], [6, 4], [6, -4]])[y]
    return Z.astype(np.float32), y


@pytest.mark.parametrize("start", [kmeans_of_graph, clusters_of_graph])
def test_codes_count_by_their_weights(start):
    X, y = blobs(300, 3)
    kept = y > 0
    weights = np.where(kept, 1.0, 1e-9)
    found = start(X, 2, 10, 0, graph(X), weights)
    assert clustering_accuracy_score(y[kept], found.labels_[kept]) == 1


@pytest.mark.parametrize("start", [kmeans_of_graph, clusters_of_graph])
def test_graph_does_not_cut_a_large_cluster_in_two(start):
    Z, y = unequal()
    found = start(Z, 3, 20, 0, graph(Z))
    assert clustering_accuracy_score(y, found.labels_) > 0.95


def rare():
    """One large cluster, broad, and a small one apart from it."""
    rng = np.random.RandomState(0)
    broad = rng.uniform(-1, 1, (750, 2)) * [2, 1.2]
    Z = np.vstack([broad, rng.randn(50, 2) * 0.2 + [0, 2.9]])
    return Z.astype(np.float32), np.repeat([0, 1], [750, 50])


def naively_joined(labels, neighbors, n_clusters):
    """Count the edges of each pair of clusters anew for each join."""
    labels = labels.copy()
    while len(names := np.unique(labels)) > n_clusters:
        densities = {}
        for first, second in combinations(names, 2):
            rows, others = np.flatnonzero(labels == first), labels == second
            n_edges = sum(others[neighbors[row]].sum() for row in rows)
            rows, others = np.flatnonzero(others), labels == first
            n_edges += sum(others[neighbors[row]].sum() for row in rows)
            densities[first, second] = n_edges / (others.sum() * len(rows))
        kept, gone = max(densities, key=densities.get)
        labels[labels == gone] = kept
    return labels


def test_clusters_with_the_most_edges_for_their_sizes_are_joined():
    Z, _ = rare()
    neighbors = graph(Z)
    labels = kmeans(Z, 12, 1, 0).labels_.astype(np.int64)
    for n_clusters in (12, 7, 3, 1):
        found = joined(labels, neighbors, n_clusters)
        assert set(found) == set(range(n_clusters))
        naive = naively_joined(labels, neighbors, n_clusters)
        assert clustering_accuracy_score(naive, found) == 1


def test_joined_clusters_begin_where_drawn_rows_do_not():
    Z, y = rare()
    neighbors = graph(Z)
    assert clustering_accuracy_score(y, kmeans(Z, 2, 20, 0).labels_) < 0.6
    for run in (
        *kmeans_of_joined(Z, 2, 0, neighbors),
        kmeans_of_graph(Z, 2, 20, 0, neighbors),
    ):
        assert clustering_accuracy_score(y, run.labels_) == 1


def test_spectrum_finds_small_clusters_beside_a_large_one(monkeypatch):
    rng = np.random.RandomState(0)
    y = np.repeat(range(5), [300, 30, 30, 30, 30])
    X = rng.randn(len(y), 8) * rng.uniform(0.4, 1.6, 5)[y][:, None]
    X += 1.5 * rng.randn(5, 8)[y]
    brief = AutoencoderTransformer(max_iter=40)
    model = AEKMeans(5, autoencoder=brief, random_state=0)
    assert clustering_accuracy_score(y, model.fit_predict(X)) > 0.95
    monkeypatch.setattr(_graph_kmeans, "kmeans_of_spectrum", lambda *_: [])
    assert clustering_accuracy_score(y, model.fit_predict(X)) < 0.6


def test_spectrum_of_few_codes_or_of_alike_ones_is_no_start():
    few = np.random.RandomState(0).randn(40, 2).astype(np.float32)
    assert kmeans_of_spectrum(few, 3, 2, 0) == []
    assert kmeans_of_spectrum(np.tile(few, (9, 1)), 1, 2, 0) == []
    (found,) = kmeans_of_spectrum(np.tile(few, (9, 1)), 3, 2, 0)
    assert len(np.unique(found.labels_)) == 3


def test_few_codes_and_few_distinct_ones_are_not_joined():
    few = np.random.RandomState(0).randn(40, 2).astype(np.float32)
    assert kmeans_of_joined(few, 3, 0, graph(few)) == []
    equal = np.repeat(few[:2], 50, axis=0)
    assert kmeans_of_joined(equal, 3, 0, graph(equal)) == []


def test_labels_are_compared_by_modularity_unless_one_cuts_far_fewer_edges():
    Z, y = rare()
    neighbors = graph(Z)
    halves, thirds = Z[:, 0] > 0, np.digitize(Z[:, 0], [-0.6, 0.6])
    true, in_two, in_three = (
        Partition.of(neighbors, labels) for labels in (y, halves, thirds)
    )
    assert true.modularity == pytest.approx(graph_modularity(neighbors, y))
    assert true.modularity < in_two.modularity < in_three.modularity
    assert in_three.is_better(in_two)
    assert not in_two.is_better(in_three)
    assert true.is_better(in_two)
    assert not in_two.is_better(true)
    assert not true.is_better(true)


def test_a_handful_of_edges_is_no_reason_to_prefer_clusters():
    def ring(start, n):  # of rows, each with the next two
        return start + (np.arange(n)[:, None] + [1, 2]) % n

    # Of four groups one edge of 800 joins the first two.
    neighbors = np.vstack([ring(0, 100), ring(100, 100), ring(200, 170), ring(370, 30)])
    neighbors[50, 0] = 150
    equal, unequal = (
        np.repeat(labels, [100, 100, 170, 30])
        for labels in ([0, 1, 2, 2], [0, 0, 1, 2])
    )
    assert Partition.of(neighbors, equal).cut == pytest.approx(1 / 800)
    assert Partition.of(neighbors, unequal).cut == pytest.approx(0)
    runs = [
        SimpleNamespace(cluster_centers_=np.zeros(3), inertia_=inertia, labels_=labels)
        for inertia, labels in ((2.0, unequal), (1.0, equal))
    ]
    assert number_of_best(runs, neighbors, slack=0.0) == 1
    neighbors[50:60, 0] = 150
    assert number_of_best(runs, neighbors, slack=0.0) == 0


def test_groups_too_small_are_outliers():
    Z, y = rare()
    neighbors = graph(Z[:765])
    found = kmeans_of_graph(Z[:765], 2, 20, 0, neighbors)
    assert clustering_accuracy_score(y[:765], found.labels_) < 0.6


def test_deep_stage_that_tears_a_large_cluster_is_not_kept():
    Z, y = rare()
    encoder = AutoencoderTransformer(
        2,
        hidden_layer_sizes=(),
        neighbor_weight=0,
        max_iter=20,
        batch_size=64,
        learning_rate=1e-2,
        random_state=0,
    )
    dec = DECClusterer(
        2, autoencoder=encoder, max_iter=50, tol=0, learning_rate=0.1, random_state=0
    ).fit(Z)
    assert not dec.deep_stage_kept_
    assert clustering_accuracy_score(y, dec.labels_) == 1
    torn = clone(dec).set_params(guard=False).fit(Z)
    assert clustering_accuracy_score(y, torn.labels_) < 0.6


def stretched(n=300, n_clusters=3, length=3.0):
    """Clusters apart along one axis, and spread as far along the other."""
    rng = np.random.RandomState(0)
    y = rng.randint(n_clusters, size=n)
    Z = rng.randn(n, 2) * [0.4, length] + np.column_stack([3 * y, np.zeros(n)])
    apart = 10 * np.eye(n_clusters)[y] + rng.randn(n, n_clusters)
    return Z.astype(np.float32), y, graph(apart)


def test_clusters_that_are_stretched_alike_are_found_by_their_own_metric():
    Z, y, neighbors = stretched()
    plain = kmeans_of_graph(Z, 3, 10, 0, neighbors)
    assert clustering_accuracy_score(y, plain.labels_) < 0.7
    found = clusters_of_graph(Z, 3, 10, 0, neighbors)
    assert clustering_accuracy_score(y, found.labels_) > 0.98


def test_clusters_of_a_metric_of_their_own_count_codes_by_their_weights():
    Z, y, neighbors = stretched()
    ones = np.ones(len(Z))
    found = clusters_of_graph(Z, 3, 10, 0, neighbors, ones)
    assert clustering_accuracy_score(y, found.labels_) > 0.98
    kept = y > 0
    weights = np.where(kept, 1.0, 1e-9)
    found = clusters_of_graph(Z, 2, 10, 0, neighbors, weights)
    assert clustering_accuracy_score(y[kept], found.labels_[kept]) > 0.98


def test_next_part_of_a_stream_starts_from_such_clusters():
    Z, _, neighbors = stretched()
    begin = SimpleNamespace(
        autoencoder=SimpleNamespace(_encode=lambda rows: rows),
        rows=Z,
        weights=np.ones(len(Z)),
        centroids=torch.zeros(3, 2),
        labels=torch.zeros(len(Z), dtype=torch.int64),
    )
    place_anew(begin, "modularity", 10, neighbors, 0)
    along = np.sort(begin.centroids[:, 0].numpy())
    np.testing.assert_allclose(along, [0, 3, 6], atol=0.2)


def test_likeliest_mixture_is_taken_of_those_that_cut_about_as_many_edges():
    Z, _, neighbors = stretched(300, 8)
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=5)
    runs = [mixture(Z, 8, 1, int(seed), "tied") for seed in seeds]
    likeliest = max(runs, key=lambda run: run.likelihood)
    best = max(runs, key=lambda run: graph_modularity(neighbors, run.labels_))
    assert best is not likeliest
    for slack, expected in ((0.0, best), (1.0, likeliest)):
        found = clusters_of_graph(Z, 8, 10, 0, neighbors, slack=slack)
        np.testing.assert_array_equal(found.labels_, expected.labels_)


def test_another_metric_does_not_tear_a_large_cluster_apart():
    Z, y = rare()
    found = clusters_of_graph(Z, 2, 8, 0, graph(Z))
    assert clustering_accuracy_score(y, found.labels_) == 1


def test_clusters_far_looser_than_those_of_kmeans_need_far_fewer_edges():
    Z, y, neighbors = stretched(600, length=3.8)
    rng = np.random.RandomState(1)
    by_chance = rng.randint(len(Z), size=neighbors.shape)
    blurred = np.where(rng.rand(*neighbors.shape) < 0.7, by_chance, neighbors)
    plain = kmeans_of_graph(Z, 3, 8, 0, blurred)
    modularity = graph_modularity(blurred, plain.labels_)
    assert graph_modularity(blurred, y) > modularity + 0.1
    found = clusters_of_graph(Z, 3, 8, 0, blurred)
    np.testing.assert_array_equal(found.labels_, plain.labels_)
    found = clusters_of_graph(Z, 3, 8, 0, neighbors)
    assert clustering_accuracy_score(y, found.labels_) > 0.98


def test_gaussians_of_one_covariance_are_found_from_afar():
    Z, y, _ = stretched()
    found = STARTS["tied"](Z, 3, 10, 0)
    assert clustering_accuracy_score(y, found.labels_) > 0.98
    assert clustering_accuracy_score(y, kmeans(Z, 3, 10, 0).labels_) < 0.7


def test_clusters_are_those_of_kmeans_where_no_other_metric_is_clearly_better():
    X, _ = blobs(centers=6)
    neighbors = graph(X)
    found, plain = (
        f(X, 5, 8, 0, neighbors) for f in (clusters_of_graph, kmeans_of_graph)
    )
    np.testing.assert_array_equal(found.labels_, plain.labels_)


def test_rows_that_no_mixture_was_fitted_to_have_labels():
    n = MOST_OF_MIXTURES + 500
    Z, y, neighbors = stretched(n)
    found = clusters_of_graph(Z, 3, 8, 0, neighbors)
    assert found.labels_.shape == (n,)
    assert clustering_accuracy_score(y, found.labels_) > 0.98


def test_automatic_start_takes_the_inertia_for_directions_and_codes_of_views():
    X = np.abs(load_iris().data)
    words = TfidfTransformer().fit_transform(sparse.csr_matrix(np.round(X)))
    autoencoder = AutoencoderTransformer(2, max_iter=0).fit(X)
    assert resolved_init("auto", X, autoencoder) == "modularity"
    assert resolved_init("auto", words, autoencoder) == "inertia"
    indicators = np.hstack([np.eye(3)[[0, 1, 2, 2]], np.eye(2)[[0, 1, 0, 1]]])
    assert resolved_init("auto", indicators, autoencoder) == "inertia"
    contrastive = SimCLRTransformer(2, max_iter=0)
    assert resolved_init("auto", X, contrastive.fit(X)) == "kmeans"
    assert resolved_init("spectral", words, contrastive) == "spectral"
    assert resolved_init("auto", X, contrastive.fit(X.reshape(-1, 1, 2, 2))) == "tied"


def test_inertia_decides_unless_unequal_clusters_cut_far_fewer_edges():
    rng = np.random.RandomState(0)
    y = np.repeat(range(4), [500, 60, 60, 60])
    centers = np.array([[0, 0], [12, 0], [12, 3], [12, -3]])
    spread = np.where(y == 0, 2.0, 0.3)[:, None]
    Z = (centers[y] + spread * rng.randn(len(y), 2)).astype(np.float32)
    neighbors = graph(Z)
    plain, found = (
        started(init, Z, 4, 10, 0, neighbors).labels_ for init in ("kmeans", "inertia")
    )
    assert clustering_accuracy_score(y, plain) < 0.7
    assert clustering_accuracy_score(y, found) > 0.95
    # A graph that knows nothing leaves the least inertia.
    unknown = rng.randint(len(Z), size=(len(Z), 15))
    found = started("inertia", Z, 4, 10, 0, unknown)
    least = started("kmeans", Z, 4, 40, 0, None)
    assert clustering_accuracy_score(least.labels_, found.labels_) > 0.95


@pytest.mark.parametrize("init", [*GRAPH_STARTS, *STARTS])
def test_clusterers_start_as_they_are_told(init):
    X, y = blobs()
    options = {"init": init, "n_init": 2, "max_iter": 2, "random_state": 0}
    dec = DECClusterer(4, autoencoder=SMALL, **options)
    assert clustering_accuracy_score(y, dec.fit(X).initial_labels_) > 0.95


@pytest.mark.parametrize("guard", [False, True])
def test_dec_starts_from_the_clusters_of_aekmeans(guard):
    X, _ = blobs()
    for init in ("auto", "kmeans"):
        shared = {"autoencoder": SMALL, "init": init, "n_init": 2, "random_state": 0}
        aekmeans = AEKMeans(5, **shared).fit(X)
        dec = DECClusterer(5, max_iter=1, guard=guard, **shared).fit(X)
        np.testing.assert_array_equal(dec.initial_labels_, aekmeans.labels_)
        assert np.isnan(dec.initial_modularity_) == (not guard)


@pytest.mark.parametrize("model", [AEKMeans(), DECClusterer()])
def test_unknown_start_is_refused_by_name(model):
    with pytest.raises(ValueError, match="'init' parameter of"):
        model.set_params(init="best").fit(blobs()[0])


@pytest.fixture
def long_tables(monkeypatch):
    """Let tables of 1000 rows be long."""
    monkeypatch.setattr(neighbors_module, "EXACT", 400)
    monkeypatch.setattr(neighbors_module, "BLOCK", 200)
    monkeypatch.setattr(starts_module, "LEAST_SAMPLE", 500)
    monkeypatch.setattr(starts_module, "LEAST_OF_CLUSTER", 100)


def graph_in_blocks(Z):
    rows = Rows(Z, np.zeros(3), np.ones(3), torch.device("cpu"))
    return nearest_neighbors(rows, N_NEIGHBORS, 0)


def test_rows_of_a_sample_keep_their_neighbors(long_tables):  # noqa: ARG001
    neighbors = graph_in_blocks(blobs(2000)[0])
    rows = closed_sample(2000, 4, 0)
    assert 500 <= len(np.unique(rows)) == len(rows) <= 700
    assert np.isin(neighbors[rows], rows).all()
    assert not np.array_equal(rows, closed_sample(2000, 4, 1))
    eight = closed_sample(2000, 8, 0)
    assert len(eight) >= 800  # a hundred for each cluster
    np.testing.assert_array_equal(closed_sample(2000, np.uint8(8), 0), eight)


@pytest.mark.parametrize("init", [*GRAPH_STARTS, *STARTS])
def test_starts_find_rare_clusters_in_a_sample(init, long_tables):  # noqa: ARG001
    y = np.random.RandomState(1).choice(4, p=[0.5, 0.25, 0.2, 0.05], size=2000)
    centers = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]])
    Z = (centers[y] + np.random.RandomState(2).randn(2000, 3)).astype(np.float32)
    neighbors = graph_in_blocks(Z)
    first, second = (started(init, Z, 4, 8, 0, neighbors) for _ in range(2))
    assert first.labels_.shape == (2000,)
    assert clustering_accuracy_score(y, first.labels_) > 0.99
    means = [Z[first.labels_ == label].mean(0) for label in range(4)]
    np.testing.assert_allclose(first.cluster_centers_, means, atol=1)
    np.testing.assert_array_equal(first.labels_, second.labels_)
    np.testing.assert_array_equal(first.cluster_centers_, second.cluster_centers_)


def test_start_in_a_sample_sees_the_neighbors_of_its_rows(long_tables):  # noqa: ARG001
    Z, y, _ = stretched(2000)
    rows = 10 * np.eye(3)[y] + np.random.RandomState(1).randn(len(y), 3)
    found = started("modularity", Z, 3, 10, 0, graph_in_blocks(rows))
    assert clustering_accuracy_score(y, found.labels_) > 0.98


def test_starts_see_all_rows_of_tables_that_are_not_long():
    n = 2 * starts_module.LEAST_SAMPLE
    np.testing.assert_array_equal(closed_sample(n - 1, 8, 0), np.arange(n - 1))
    assert len(closed_sample(n, 8, 0)) == n // 2


def test_number_of_clusters_is_found_in_a_sample(long_tables):  # noqa: ARG001
    Z, _ = blobs(2000)
    results = curve(Z, graph_in_blocks(Z), np.array([2, 3, 4, 5]), 5, 0)
    assert results["score"].argmax() == 2
    assert results["inertia"][0] < KMeans(2, random_state=0).fit(Z).inertia_ / 2


@pytest.fixture(scope="module")
def frozen():
    return FrozenEstimator(clone(SMALL).set_params(random_state=0).fit(blobs()[0]))


@pytest.mark.parametrize("init", ["modularity", "kmeans"])
def test_kmeans_of_a_sample_moves_to_the_means_of_all_codes(
    init,
    frozen,
    long_tables,  # noqa: ARG001
):
    X, y = blobs(1000)
    model = AEKMeans(4, autoencoder=frozen, init=init, random_state=0).fit(X)
    Z = model.transform(X)
    means = [Z[model.labels_ == label].mean(0) for label in range(4)]
    np.testing.assert_allclose(model.cluster_centers_, means, atol=1e-4)
    inertia = np.sum((Z - model.cluster_centers_[model.labels_]) ** 2)
    assert model.inertia_ == pytest.approx(inertia, rel=1e-4)
    assert clustering_accuracy_score(y, model.labels_) > 0.98


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("clusterer", [DECClusterer, VaDEClusterer])
def test_clusterers_of_long_tables_start_from_a_sample(
    clusterer,
    guard,
    frozen,
    long_tables,  # noqa: ARG001
):
    X, y = blobs(1000)
    model = clusterer(4, autoencoder=frozen, max_iter=1, guard=guard, random_state=0)
    assert clustering_accuracy_score(y, model.fit(X).initial_labels_) > 0.98


def test_tables_of_measurements_are_not_clustered_by_the_categories_beside_them():
    X, y = blobs()
    towns = np.eye(3)[np.random.RandomState(0).randint(3, size=len(X))]
    X = np.hstack([X[:, :2], towns])

    def clusters(**parameters):
        encoder = AutoencoderTransformer(
            2, hidden_layer_sizes=(32,), max_iter=60, learning_rate=0.01, **parameters
        )
        return AEKMeans(4, autoencoder=encoder, n_init=5, random_state=0).fit(X)

    model, drawn_to_neighbors = clusters(), clusters(neighbor_weight=1)
    assert model.autoencoder_.neighbor_weight_ == 0
    assert clustering_accuracy_score(y, model.labels_) > 0.9
    assert clustering_accuracy_score(y, drawn_to_neighbors.labels_) < 0.7


@pytest.mark.parametrize("init", [*GRAPH_STARTS, *STARTS])
def test_counts_may_be_narrow_integers(init):
    Z = np.random.RandomState(0).randn(300, 3).astype(np.float32)
    neighbors = graph_in_blocks(Z)
    expected = started(init, Z, 10, 4, 0, neighbors)
    for kind in (np.int8, np.uint8):
        found = started(init, Z, kind(10), kind(4), 0, neighbors)
        np.testing.assert_array_equal(found.labels_, expected.labels_)
