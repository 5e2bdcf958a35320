"""Inputs that nobody thought of: a right result, or an error that says why not."""

import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans

from skdeep import metrics
from skdeep.representation import AutoencoderTransformer
from tests.estimators import ENCODERS, ESTIMATORS, inner_parameter, name_of
from tests.test_common import X as blobs
from tests.test_common import outputs
from tests.test_common import y as classes

TINY = AutoencoderTransformer(2, hidden_layer_sizes=(4,), max_iter=1, batch_size=8)

BRIEF = {
    "max_iter": 1,
    "self_label_iter": 1,
    "frozen_iter": 1,
    "n_init": 1,
    "batch_size": 8,
    "n_units": 4,
    "hidden_layer_sizes": (4,),
    "n_steps": 2,
}

FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64]
SPECIAL = [np.nan, np.inf, -np.inf, 1e38, -1e38, 3.5e38, 1e300, 1e-45, 5e-324, -0.0]

# What else an estimator may raise; all say what is wrong with X.
DOCUMENTED = (ValueError, TypeError, FloatingPointError)


def brief(estimator, n_clusters):
    """Copy an estimator with a budget of milliseconds."""
    model = clone(estimator)
    inner = inner_parameter(model)
    if inner in model.get_params():
        model.set_params(**{inner: TINY})
    known = model.get_params(deep=False)
    model.set_params(**{name: v for name, v in BRIEF.items() if name in known})
    if "n_clusters" in known:
        model.set_params(n_clusters=n_clusters)
    return model.set_params(random_state=0)


@st.composite
def numbers(draw):
    """2-D arrays of any shape, type, order and strides, and what may be in them."""
    n_rows = draw(st.sampled_from([0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 25]))
    n_columns = draw(st.sampled_from([0, *[1, 2, 3, 5] * 3]))
    dtype = draw(st.sampled_from([*FLOATS * 4, *INTEGERS, np.bool_, object]))
    kind = draw(st.sampled_from(["normal", "constant", "duplicates", "wide"]))
    rng = np.random.RandomState(draw(st.integers(0, 2**31 - 1)))
    X = rng.randn(n_rows, n_columns) * 10.0 ** draw(st.integers(-3, 3))
    if kind == "constant":
        X[:, : draw(st.integers(0, n_columns))] = 3
    elif kind == "duplicates" and n_rows:
        X = X[rng.randint(min(2, n_rows), size=n_rows)]
    elif kind == "wide":
        X *= 10.0 ** rng.randint(-20, 20, size=n_columns)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = X.astype(dtype)
        if dtype in FLOATS and X.size and draw(st.booleans()):
            place = rng.randint(X.size)
            X.flat[place] = draw(st.sampled_from(SPECIAL))
    return laid_out(draw, X)


def laid_out(draw, X):
    """Lay an array out in memory in another way."""
    layout = draw(st.sampled_from(["C", "F", "strided", "backwards", "read-only"]))
    if layout == "F":
        return np.asfortranarray(X)
    if layout == "strided":
        return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    if layout == "backwards":
        return X[::-1, ::-1]
    X.flags.writeable = layout == "C"
    return X


@st.composite
def containers(draw):
    """Rows in whatever holds rows."""
    X = draw(numbers())
    container = draw(
        st.sampled_from(
            ["array"] * 4
            + ["sparse", "sparse", "frame", "categories", "nullable", "list"]
            + ["tensor", "memmap", "big-endian", "masked"]
        )
    )
    try:
        return contained(draw, X, container)
    except (TypeError, ValueError, OverflowError, NotImplementedError, IndexError):
        # There is no such container of such numbers.
        return X


def contained(draw, X, container):
    rng = np.random.RandomState(0)
    if container == "sparse":
        return odd_matrix(draw, X)
    if container == "frame":
        names = draw(
            st.sampled_from(
                [["a"] * 9, [0, 1, 2, 3, 4], [1, "b", 2.5, None, ("d",)], list("edcba")]
            )
        )
        frame = pd.DataFrame(X)
        frame.columns = names[: X.shape[1]]
        return frame
    if container == "categories":
        return pd.DataFrame({"a": pd.Categorical(X[:, 0])})
    if container == "nullable":
        with np.errstate(invalid="ignore"):  # pandas asks whether they are integers
            frame = pd.DataFrame(X.astype(np.float64)).convert_dtypes()
        if len(frame) and rng.rand() < 0.5:
            frame.iloc[0, 0] = pd.NA
        return frame
    if container == "list":
        return X.tolist()
    if container == "tensor":
        return torch.tensor(np.ascontiguousarray(X))
    if container == "memmap":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "X"
            X.tofile(path)
            return np.memmap(path, X.dtype, "r", shape=X.shape)
    if container == "big-endian":
        return X.astype(X.dtype.newbyteorder(">"))
    if container == "masked":
        return np.ma.masked_array(X, mask=X > 0)
    return X


def odd_matrix(draw, X):
    """Sparse matrix whose entries are out of order, zero, or there twice."""
    matrix = sparse.csr_matrix(np.where(np.abs(X) < 0.5, 0, X))
    oddity = draw(st.sampled_from(["", "unsorted", "zeros", "twice", "wide index"]))
    if oddity == "unsorted":
        for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
            matrix.indices[start:stop] = matrix.indices[start:stop][::-1].copy()
            matrix.data[start:stop] = matrix.data[start:stop][::-1].copy()
        matrix.has_sorted_indices = False
    elif oddity == "zeros":
        matrix.data[::2] = 0
    elif oddity == "twice":
        entries = matrix.tocoo()
        places = [np.concatenate([part, part]) for part in (entries.row, entries.col)]
        halves = np.concatenate([entries.data, entries.data]) / 2
        return sparse.coo_matrix((halves, tuple(places)), shape=matrix.shape)
    elif oddity == "wide index":
        matrix.indices = matrix.indices.astype(np.int64)
        matrix.indptr = matrix.indptr.astype(np.int64)
    formats = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
    return matrix.asformat(draw(st.sampled_from(formats)))


def assert_right(model, X):
    """Hold what a fitted estimator says of its own rows against what it may say."""
    n_rows = np.shape(X)[0]
    if hasattr(model, "labels_"):
        assert model.labels_.shape == (n_rows,)
        n_clusters = getattr(model, "n_clusters_", None) or model.n_clusters
        assert set(model.labels_) <= set(range(n_clusters))
    if hasattr(model, "predict"):
        labels = model.predict(X)
        assert labels.shape == (n_rows,)
    if hasattr(model, "predict_proba"):
        p = model.predict_proba(X)
        assert p.shape[0] == n_rows
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-4)
    if hasattr(model, "transform"):
        Z = np.asarray(model.transform(X))
        assert Z.shape[0] == n_rows
        assert np.isfinite(Z).all()
    if hasattr(model, "sample"):
        drawn = np.asarray(model.sample(3, random_state=0))
        assert drawn.shape == (3, model.n_features_in_)
        assert np.isfinite(drawn).all()
    for values in model.history_.values():
        assert np.isfinite(values).all()


def outcome(estimator, X, n_clusters):
    """Name what an estimator makes of X; whatever else it does fails."""
    model = brief(estimator, n_clusters)
    labels = np.arange(np.shape(X)[0]) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(X, labels)
        except DOCUMENTED as error:
            name = type(error).__name__
            fitted = [n for n in vars(model) if n.endswith("_") and n[0] != "_"]
            assert set(fitted) <= {"n_features_in_", "feature_names_in_"}
            return name
        assert_right(model, X)
    return "right"


def examined(estimator, n_examples):
    """Outcomes of so many generated inputs, which are those of no other estimator."""
    counts = Counter()

    @seed(ESTIMATORS.index(estimator))
    @settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(containers(), st.integers(1, 6))
    def examine(X, n_clusters):
        counts[outcome(estimator, X, n_clusters)] += 1

    examine()
    return counts


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
def test_some_inputs_end_well_or_in_a_documented_error(estimator):
    assert examined(estimator, 8).total() >= 8


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
def test_200_inputs_end_well_or_in_a_documented_error(estimator, record_property):
    counts = examined(estimator, 200)
    record_property(f"inputs of {name_of(estimator)}", dict(counts))
    assert counts.total() >= 200
    assert counts["right"] >= 30
    assert counts["ValueError"] >= 30


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_row_of_no_data_has_finite_results(estimator, dtype):
    model = brief(estimator, 3).fit(blobs / 1000, classes)
    X = blobs[:4].astype(dtype) / 1000
    X[1, 2] = np.finfo(np.float32).min  # as rasters mark what was not measured
    for name, found in outputs(model, X).items():
        assert np.isfinite(found).all(), name
    if hasattr(model, "score"):
        assert np.isfinite(model.score(X, classes[:4]))


# metrics

LABEL_SCORES = [
    metrics.clustering_accuracy_score,
    metrics.purity_score,
    metrics.pairwise_precision_recall_f_score,
    metrics.matched_iou_score,
]

LABELS = st.one_of(
    st.lists(st.integers(-3, 5), max_size=12),
    st.lists(st.sampled_from(["a", "b", ""]), max_size=12),
    st.lists(st.floats(), max_size=12),
    st.lists(st.booleans(), max_size=12),
)


@pytest.mark.parametrize("score", LABEL_SCORES, ids=lambda score: score.__name__)
@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(LABELS, LABELS)
def test_scores_of_labels_are_in_range_or_say_why_not(score, first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = score(first, second)
        except DOCUMENTED:
            return
    for value in np.atleast_1d(found):
        assert 0 <= value <= 1


ROW_SCORES = [
    metrics.frechet_distance,
    metrics.manifold_precision_recall,
    metrics.uniqueness_score,
    metrics.novelty_score,
]


@pytest.mark.parametrize("score", ROW_SCORES, ids=lambda score: score.__name__)
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(containers(), containers())
def test_scores_of_rows_are_numbers_or_say_why_not(score, first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = score(first, second)
        except DOCUMENTED:
            return
    for value in np.ravel(found):
        assert not np.isnan(value)
        assert value >= 0


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *ENCODERS], ids=name_of)
def test_lazy_frames_are_refused_with_what_to_do(estimator):
    lazy = pl.DataFrame(blobs).lazy()
    with pytest.raises(TypeError, match=r"pass what its collect\(\) returns"):
        clone(estimator).fit(lazy, classes)
    with pytest.raises(TypeError, match="A lazy frame has no rows"):
        metrics.frechet_distance(blobs, lazy)


class AnnData:
    """As that of anndata, in what tells it from a matrix."""

    X = blobs
    obs_names = var_names = None
    shape = blobs.shape


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *ENCODERS], ids=name_of)
def test_annotated_matrices_are_refused_with_what_to_do(estimator):
    with pytest.raises(TypeError, match=r"AnnData holds more than rows: pass its \.X"):
        clone(estimator).fit(AnnData(), classes)


@pytest.mark.parametrize(
    "score",
    [
        metrics.neighbor_modularity_score,
        metrics.graph_modularity,
        metrics.clustering_accuracy_score,
        metrics.frechet_distance,
    ],
)
def test_scores_that_are_given_for_scorers_say_so(score):
    # As searches without labels call what they are given as `scoring`.
    with pytest.raises(TypeError, match=r"KMeans is an estimator.* give a scorer"):
        score(KMeans(), blobs)
