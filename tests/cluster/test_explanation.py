import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeep.cluster import (
    AEKMeans,
    DECClusterer,
    cluster_terms,
    explain_clusters,
)
from skdeep.cluster._explanation import contrasts
from skdeep.metrics import npmi_coherence_score
from skdeep.representation import AutoencoderTransformer


def small(**parameters):
    defaults = {"hidden_layer_sizes": (16,), "max_iter": 60, "learning_rate": 1e-2}
    return AutoencoderTransformer(3, **{**defaults, **parameters})


@pytest.fixture(scope="module")
def table():
    rng = np.random.RandomState(0)
    y = np.arange(240) % 3
    X = rng.randn(240, 5)
    X[:, 1] += 12 * (y == 0)
    X[:, 3] -= 12 * (y == 2)
    return pd.DataFrame(X, columns=["age", "income", "height", "debt", "noise"]), y


@pytest.fixture(scope="module")
def model(table):
    return AEKMeans(3, autoencoder=small(), random_state=0).fit(table[0])


# columns, prototypes, rows


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_contrasts_are_means_and_correlations(kind):
    rng = np.random.RandomState(0)
    X, labels = rng.randn(50, 4) * (rng.rand(50, 4) < 0.6), rng.randint(3, size=50)
    means, others, correlations = contrasts(kind(X), labels, 4)
    for j in range(3):
        inside = labels == j
        np.testing.assert_allclose(means[j], X[inside].mean(axis=0))
        np.testing.assert_allclose(others[j], X[~inside].mean(axis=0))
        expected = [np.corrcoef(x, inside)[0, 1] for x in X.T]
        np.testing.assert_allclose(correlations[j], expected, atol=1e-12)
    np.testing.assert_array_equal(correlations[3], 0)  # a cluster without rows
    for unit in (1e-300, 1e200):
        others = contrasts(kind(X * [1, unit, 1, unit]), labels, 4)[2]
        np.testing.assert_allclose(others, correlations, atol=1e-12)


@pytest.mark.parametrize("constant", [1, 1 / 3])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_constant_columns_tell_nothing(kind, constant):
    X, labels = kind(np.full((200, 2), constant)), np.arange(200) ** 2 % 3
    np.testing.assert_array_equal(contrasts(X, labels, 3)[2], 0)


@pytest.mark.parametrize("value", [1 / 3, 1e-8, 1e8 + 1 / 3])
def test_correlations_do_not_leave_their_range(value):
    labels = np.arange(201) % 2
    found = contrasts(value * np.c_[labels, -labels], labels, 2)[2]
    np.testing.assert_allclose(np.abs(found), 1)
    assert np.abs(found).max() <= 1


def test_planted_columns_are_found_by_name(model, table):
    X, y = table
    explanation = explain_clusters(model, X, n_columns=2)
    cluster_of = {c: np.bincount(model.labels_[y == c]).argmax() for c in range(3)}
    rich, poor = cluster_of[0], cluster_of[2]
    assert explanation.columns[rich, 0] == "income"
    assert explanation.columns[poor, 0] == "debt"
    assert explanation.correlations[rich, 0] > 0.9
    assert explanation.correlations[poor, 0] < -0.9
    assert explanation.means[rich, 0] > explanation.other_means[rich, 0] + 5
    assert explanation.sizes.sum() == 240
    assert f"cluster {rich}: {explanation.sizes[rich]} rows" in str(explanation)
    assert "income" in str(explanation)
    frame = pd.DataFrame(explanation.table())
    assert frame.shape == (6, 6)
    assert list(frame["cluster"]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas])
def test_columns_of_any_frame_have_names(model, table, kind):
    X, _ = table
    explanation = explain_clusters(model, kind(X), n_columns=2)
    expected = explain_clusters(model, X, n_columns=2)
    np.testing.assert_array_equal(explanation.columns, expected.columns)


def test_columns_of_decimals_are_numbers(model, table):
    X, _ = table
    decimals = pl.from_pandas(X.round(2).astype(str)).cast(pl.Decimal(9, 2))
    found = explain_clusters(model, X, table=decimals, n_columns=2)
    expected = explain_clusters(model, X, table=X.round(2), n_columns=2)
    np.testing.assert_allclose(found.means, expected.means)
    np.testing.assert_array_equal(found.columns, expected.columns)


def test_prototypes_are_in_the_units_of_the_input(model, table):
    X, _ = table
    explanation = explain_clusters(model, X)
    means = np.stack([X[model.labels_ == j].mean() for j in range(3)])
    away = np.linalg.norm(explanation.prototypes[:, None] - means, axis=2)
    np.testing.assert_array_equal(away.argmin(axis=1), [0, 1, 2])
    dec = DECClusterer(3, autoencoder=small(), max_iter=2, random_state=0).fit(X)
    explanation = explain_clusters(dec, X)  # which has no decoder
    means = np.stack([X[dec.labels_ == j].mean() for j in range(3)])
    np.testing.assert_allclose(explanation.prototypes, means)


def test_clusters_without_rows_have_no_means(model, table):
    rows = table[0][model.labels_ == 1]
    found = explain_clusters(model, rows)
    assert found.sizes.tolist() == [0, len(rows), 0]
    assert np.isnan(found.means[[0, 2]]).all()
    assert np.isnan(found.other_means[1]).all()
    expected = rows[found.columns[1]].mean()
    np.testing.assert_allclose(found.means[1], expected, rtol=1e-5)
    assert not found.correlations.any()


def test_nearest_rows_are_those_next_to_the_center(model, table):
    X, _ = table
    nearest = explain_clusters(model, X, n_rows=4).nearest_rows
    Z = model.transform(X)
    for j, rows in enumerate(nearest):
        assert (model.labels_[rows] == j).all()
        members = np.flatnonzero(model.labels_ == j)
        d = np.linalg.norm(Z[members] - model.cluster_centers_[j], axis=1)
        np.testing.assert_array_equal(rows, members[np.argsort(d)[:4]])
    few = explain_clusters(model, X[:4], n_rows=4).nearest_rows
    assert (few == -1).any()


def test_another_table_of_the_same_rows_can_be_described(model, table):
    X, y = table
    other = sparse.csr_matrix(np.eye(3)[y])
    explanation = explain_clusters(model, X, table=other, n_columns=1)
    assert sorted(explanation.columns.ravel().tolist()) == [0, 1, 2]
    named = explain_clusters(
        model, X, table=other, feature_names=["a", "b", "c"], n_columns=1
    )
    assert sorted(named.columns.ravel()) == ["a", "b", "c"]


def test_images_have_prototypes():
    images = load_digits().images[:100, None]
    encoder = small(hidden_layer_sizes=(4, 4), max_iter=2)
    model = AEKMeans(4, autoencoder=encoder, random_state=0).fit(images)
    assert explain_clusters(model, images).prototypes.shape == (4, 64)


def test_what_does_not_fit_is_refused(model, table):
    X, _ = table
    with pytest.raises(TypeError, match="must be a fitted clusterer of skdeep"):
        explain_clusters(KMeans(2).fit(X), X)
    with pytest.raises(TypeError, match="of a pipeline its last step"):
        explain_clusters(make_pipeline(StandardScaler(), model), X)
    with pytest.raises(NotFittedError):
        explain_clusters(AEKMeans(), X)
    with pytest.raises(ValueError, match="get_dummies"):
        explain_clusters(model, X, table=np.full((len(X), 1), "red"))
    dates = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=len(X))})
    with pytest.raises(ValueError, match=r"table holds dates.* 'day'.* difference"):
        explain_clusters(model, X, table=dates)
    with pytest.raises(ValueError, match="2 names for 5 columns"):
        explain_clusters(model, X, feature_names=["a", "b"])
    with pytest.raises(ValueError, match=r"'feature_names' parameter .* Got 'abcde'"):
        explain_clusters(model, X, feature_names="abcde")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        explain_clusters(model, X, table=X[:5])


# terms


def test_terms_of_planted_topics_are_found_and_coherent():
    rng = np.random.RandomState(0)
    y = np.arange(300) % 3
    counts = rng.poisson(0.05 + 1.5 * (np.arange(12)[None] // 4 == y[:, None]))
    names = [f"word{i}" for i in range(12)]
    found = cluster_terms(y, sparse.csr_matrix(counts), names, n_terms=4)
    for j, terms in enumerate(found.terms):
        assert set(terms) == {f"word{i}" for i in range(4 * j, 4 * j + 4)}
    assert (found.coherence > 0.3).all()
    mixed = npmi_coherence_score(counts, [[0, 4, 8]])
    assert (found.coherence > mixed).all()
    assert str(found).startswith("cluster 0 (coherence 0.")


def test_only_terms_heavier_inside_count():
    found = cluster_terms([0, 0, 1], [[1, 0], [1, 0], [0, 1]], ["a", "b"])
    assert found.terms == [["a"], ["b"]]
    assert np.isnan(found.coherence).all()


@pytest.mark.parametrize(
    ("labels", "names", "text"),
    [
        ([0, 1], ["a"], "1 names, X 2 terms"),
        ([0, 1], "ab", "'feature_names' parameter must be a sequence"),
        ([0, -1], ["a", "b"], "labels from 0 on. Got -1"),
        ([0.5, 1], ["a", "b"], "that are integers"),
        ([[0], [1]], ["a", "b"], r"labels of shape \(n_documents,\)"),
        ([0], ["a", "b"], "inconsistent numbers"),
    ],
)
def test_bad_terms_are_refused(labels, names, text):
    with pytest.raises(ValueError, match=text):
        cluster_terms(labels, np.eye(2), names)


@pytest.mark.parametrize("name", ["n_rows", "n_columns"])
def test_negative_numbers_are_refused(model, table, name):
    X, _ = table
    with pytest.raises(ValueError, match=f"The '{name}' parameter of explain_clust"):
        explain_clusters(model, X, **{name: -1})
    assert str(explain_clusters(model, X, **{name: 0})).count("rows") == 3


def test_names_may_be_tuples_of_several_levels(model, table):
    X, _ = table
    names = [("of money" if name in "income debt" else "else", name) for name in X]
    found = explain_clusters(model, X, feature_names=names).columns
    index = pd.MultiIndex.from_tuples(names)
    expected = explain_clusters(model, X, feature_names=index).columns
    assert found.tolist() == expected.tolist()


def test_clusters_have_at_least_one_term():
    with pytest.raises(ValueError, match="The 'n_terms' parameter of cluster_terms"):
        cluster_terms([0, 1], np.eye(2), ["a", "b"], n_terms=0)


def test_blobs_of_a_search_can_be_explained():
    from skdeep.cluster import NClustersSearch

    X, _ = make_blobs(120, 4, centers=3, random_state=0)
    search = NClustersSearch(
        AEKMeans(autoencoder=small()), max_clusters=4, random_state=0
    ).fit(X)
    found = explain_clusters(search, X)
    assert found.prototypes.shape == (search.n_clusters_, 4)


def test_terms_of_counts_that_are_stored_one_by_one_are_those_of_their_sums():
    words = [[0] * 20 + [1], [0, 1], [0] * 9, [2] * 5, [2, 1], [2] * 7]
    ends = np.cumsum([0, *map(len, words)])
    X = sparse.csr_matrix((np.ones(ends[-1]), np.concatenate(words), ends), (6, 3))
    labels, names = [0, 0, 0, 1, 1, 1], ["a", "b", "c"]
    found = cluster_terms(labels, X, names)
    assert found.terms == cluster_terms(labels, X.toarray(), names).terms
    assert [terms[0] for terms in found.terms] == ["a", "c"]


def test_tables_on_disk_are_compared_part_by_part(tmp_path):
    rng = np.random.RandomState(0)
    X = np.memmap(tmp_path / "X", np.uint8, "w+", shape=(60_000, 100))
    X[:] = rng.randint(0, 9, X.shape)
    labels = rng.randint(3, size=len(X))
    tracemalloc.start()
    means, _, _ = contrasts(X, labels, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(means[1], X[labels == 1].mean(axis=0))
    assert peak < X.size * 8 / 3
