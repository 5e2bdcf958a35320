"""Whether sampled rows are new: copies of each other, or of the training rows."""

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from skdeep._compat import Interval, checks_parameters
from skdeep.metrics._rows import comparable_features, near_one
from skdeep.metrics._tables import comparable_tables

N_CLOSEST = 5
"""Real rows among which those of the least distance count alike."""


def uniqueness_score(X_sampled: Any) -> float:
    """Share of distinct rows among sampled ones.

    Parameters
    ----------
    X_sampled : {array-like, sparse matrix} of shape (n_sampled, n_features)
        Sampled rows: numbers, text, dates and missing cells, which equal each other.

    Returns
    -------
    score : float
        Number of distinct rows over that of rows: 1 if all differ.

    Raises
    ------
    ValueError
        If there are no rows, or if they hold infinite numbers.

    See Also
    --------
    novelty_score : Share of the rows that are no copies of training rows.

    Notes
    -----
    Rows of a table of few categories are often equal, in reality too: compare with the
    score of as many real rows. Rows with continuous columns hardly ever are, except
    from a sampler that has collapsed.

    Examples
    --------
    >>> from skdeep.metrics import uniqueness_score
    >>> uniqueness_score([["a", 1], ["a", 2], ["b", 1], ["a", 1]])
    0.75
    """
    (keys,) = _keys({"X_sampled": X_sampled})
    return len(np.unique(keys)) / len(keys)


@checks_parameters({"tolerance": [Interval(Real, 0, None, closed="left")]})
def novelty_score(
    X_real: Any, X_sampled: Any, *, tolerance: float = 0.0, features: Any = None
) -> float:
    """Share of sampled rows that are no copies of training rows.

    Parameters
    ----------
    X_real : {array-like, sparse matrix} of shape (n_real, n_features)
        Rows that the sampler was trained on. Numbers, text, dates and missing cells
        may be compared for equality, numbers alone with a tolerance.
    X_sampled : {array-like, sparse matrix} of shape (n_sampled, n_features)
        Sampled rows.
    tolerance : float, default=0.0
        Euclidean distance of a copy, at most. 0 counts equal rows alone; float32 rows
        are equal to the float64 rows that they round.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared: a function of the rows, or an
        estimator with `transform`, fitted already. None compares the rows themselves.

    Returns
    -------
    score : float
        Between 0 and 1, larger is newer.

    Raises
    ------
    TypeError
        If `features` is neither callable nor a transformer nor None.
    ValueError
        If `tolerance` is negative, if either holds what cannot be compared, or if they
        differ in their columns.

    See Also
    --------
    uniqueness_score : Share of the rows that are no copies of each other.
    closest_record_share : Asks for rows too close to training rows, against a hold-out.

    Notes
    -----
    Real rows repeat each other too: the score of a hold-out in the place of the sampled
    rows is what to compare with.

    Examples
    --------
    >>> from skdeep.metrics import novelty_score
    >>> X_train, X_sampled = [[0.0, 1.0], [2.0, 3.0]], [[0.0, 1.0], [2.0, 3.1]]
    >>> novelty_score(X_train, X_sampled)
    0.5
    >>> novelty_score(X_train, X_sampled, tolerance=0.2)
    0.0
    """
    tables = {"X_real": X_real, "X_sampled": X_sampled}
    if tolerance > 0 or features is not None:
        found = comparable_features(tables, features, "novelty_score")
        tables = dict(zip(tables, found, strict=True))
    if tolerance > 0:
        distances, _ = _nearest(tables["X_real"], tables["X_sampled"], 1)
        return float((distances > tolerance).mean())
    keys_real, keys_sampled = _keys(tables)
    return float(1 - np.isin(keys_sampled, keys_real).mean())


def closest_record_share(
    X_real: Any, X_sampled: Any, X_holdout: Any, *, features: Any = None
) -> float:
    r"""Share of sampled rows that are nearest to training rows, against its chance.

    A sampler that has learned the distribution draws rows as near to rows that it has
    not seen as to those that it has; one that has learned its rows by heart does not.
    The distance to the closest training row alone cannot tell that from a dense region.

    .. math:: \max \left( 0, \; 1 - \frac12 \, \frac{u}{n_h / (n_r + n_h)} \right)

    with u the share of sampled rows whose nearest real row is one of the :math:`n_h`
    that are held out, not one of the :math:`n_r` of training. Of equal numbers of both
    it is the share that is nearest to training rows.

    Parameters
    ----------
    X_real : {array-like, sparse matrix} of shape (n_real, n_features)
        Rows that the sampler was trained on.
    X_sampled : {array-like, sparse matrix} of shape (n_sampled, n_features)
        Sampled rows.
    X_holdout : {array-like, sparse matrix} of shape (n_holdout, n_features)
        Real rows that it was not trained on. The fewer, the more it varies.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared: a function of the rows, or an
        estimator with `transform`, fitted already. None compares the rows themselves.

    Returns
    -------
    share : float
        Between 0 and 1; 0.5 is ideal, and 1 is a sampler that repeats training rows. If
        it repeats them in a share m of its rows, it is (1 + m) / 2.

    Raises
    ------
    TypeError
        If `features` is neither callable nor a transformer nor None.
    ValueError
        If any holds what is no finite number, or if they differ in their columns.

    See Also
    --------
    novelty_score : Counts rows within a given distance of training rows.

    Notes
    -----
    Fresh rows have 0.5 on average, whatever the numbers of rows. Equal real rows, and
    up to five at one distance, count by their numbers.

    Distances depend on the units of columns. Scale them, as by
    ``features=StandardScaler().fit(X_real)``, unless they share one.

    References
    ----------
    .. [1] M. Platzer, T. Reutterer, "Holdout-based empirical assessment of mixed-type
       synthetic data", Frontiers in Big Data 4, 2021, doi:10.3389/fdata.2021.679939.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeep.metrics import closest_record_share
    >>> rng = np.random.RandomState(0)
    >>> X_train, X_holdout = np.split(rng.normal(size=(1000, 4)), [800])
    >>> learned = rng.normal(size=(800, 4))
    >>> 0.4 < closest_record_share(X_train, learned, X_holdout) < 0.6
    True
    >>> by_heart = X_train + 0.01 * learned
    >>> closest_record_share(X_train, by_heart, X_holdout) > 0.9
    True
    """
    real, sampled, holdout = comparable_features(
        {"X_real": X_real, "X_sampled": X_sampled, "X_holdout": X_holdout},
        features,
        "closest_record_share",
    )
    n_real, n_holdout = real.shape[0], holdout.shape[0]
    distinct, n_copies = _distinct_rows(real, holdout)
    distances, nearest = _nearest(distinct, sampled, N_CLOSEST)
    is_closest = distances == distances.min(axis=1, keepdims=True)
    of_holdout, of_all = (
        (is_closest * n[nearest]).sum(axis=1) for n in (n_copies[1], n_copies.sum(0))
    )
    share = (of_holdout / of_all).mean()
    return max(0.0, float(1 - share * (n_real + n_holdout) / (2 * n_holdout)))


def _distinct_rows(*tables: Any) -> tuple[Any, np.ndarray]:
    """Rows of all tables without copies, and how often each stands in each table.

    Their order does not tell in which.
    """
    alike = _of_one_kind(*tables)
    is_sparse = sparse.issparse(alike[0])
    rows = (sparse.vstack if is_sparse else np.vstack)(alike)
    keys = (_sparse_keys if is_sparse else _dense_keys)(rows.copy())
    _, first, places = np.unique(keys, return_index=True, return_inverse=True)
    parts = np.split(places.ravel(), [alike[0].shape[0]])
    return rows[first], np.stack([np.bincount(p, minlength=len(first)) for p in parts])


def _nearest(
    F_real: Any, F_sampled: Any, n_neighbors: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of each sampled row from the nearest real ones, and their places."""
    tables = _of_one_kind(F_real.astype(np.float64), F_sampled.astype(np.float64))
    near_real, near_sampled = near_one(*tables)
    center = 0 if sparse.issparse(near_real) else np.median(near_real, axis=0)
    n_neighbors = min(n_neighbors, F_real.shape[0])
    # About the center, where products cancel least.
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(near_real - center)
    nearest = search.kneighbors(near_sampled - center, return_distance=False)
    # Again by differences: the search takes products, of which copies are not quite 0.
    F_real, F_sampled = tables
    found = [_lengths(F_sampled - F_real[places]) for places in nearest.T]
    return np.stack(found, axis=1), nearest


def _lengths(D: Any) -> np.ndarray:
    """Euclidean lengths of rows, of which no square over- or underflows."""
    is_sparse = sparse.issparse(D)
    largest = abs(D).max(axis=1)
    largest = largest.toarray().ravel() if is_sparse else largest
    unit = np.where(largest > 0, largest, 1.0)
    if not is_sparse:
        return largest * np.linalg.norm(D / unit[:, np.newaxis], axis=1)
    parts = D.data / np.repeat(unit, np.diff(D.indptr)), D.indices, D.indptr
    return largest * sparse.linalg.norm(sparse.csr_matrix(parts, D.shape), axis=1)


def _of_one_kind(*tables: Any) -> list[Any]:
    """Return all as arrays, or all as CSR matrices."""
    any_sparse = any(map(sparse.issparse, tables))
    return [*map(sparse.csr_matrix, tables)] if any_sparse else list(tables)


def _keys(tables: dict[str, Any]) -> Iterable[Any]:
    """One value for each row of each table, the same for equal rows."""
    if not any(map(sparse.issparse, tables.values())):
        return map(_dense_keys, comparable_tables(tables)[0])
    found = comparable_features(tables, None, "The comparison of rows")
    coarse = min((F.dtype for F in found), key=lambda dtype: dtype.itemsize)
    return [_sparse_keys(sparse.csr_matrix(F, dtype=coarse, copy=True)) for F in found]


def _dense_keys(rows: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(rows) + 0.0  # -0.0 becomes 0.0, whose bytes differ
    rows[np.isnan(rows)] = np.nan
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()


def _sparse_keys(rows: Any) -> np.ndarray:
    rows.sum_duplicates()
    rows.eliminate_zeros()
    starts, ends = rows.indptr[:-1], rows.indptr[1:]
    columns, values = rows.indices.astype(np.int64), rows.data
    keys = np.empty(len(starts), dtype=object)
    keys[:] = [
        columns[i:j].tobytes() + values[i:j].tobytes()
        for i, j in zip(starts, ends, strict=True)
    ]
    return keys
