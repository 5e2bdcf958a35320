"""Whether a classifier can tell sampled rows from real ones."""

from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score
from sklearn.utils import check_random_state

from skdeep.metrics._rows import comparable_features
from skdeep.metrics._tables import comparable_tables

# The most that the default classifier takes.
_MAX_CATEGORIES = 255


def classifier_two_sample_score(
    X_real: Any,
    X_sampled: Any,
    *,
    features: Any = None,
    classifier: Any = None,
    cv: int = 5,
    random_state: Any = None,
) -> float:
    """Area under the ROC curve of a classifier that tells sampled rows from real ones.

    A classifier learns from some of the rows of both which are real, and is judged on
    the others, in cross-validation. 0.5 means that it cannot tell, 1 that it always
    can: 0.5 is what a sampler should reach.

    Parameters
    ----------
    X_real : {array-like, sparse matrix} of shape (n_real, n_features)
        Real rows, best held out from the training of the sampler. Data frames may have
        columns of text, categories, dates and missing cells; arrays may have NaN.
    X_sampled : {array-like, sparse matrix} of shape (n_sampled, n_features)
        Sampled rows. Of more rows of either, a random part counts.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared: a function of the rows, or an
        estimator with `transform`, fitted already. None compares the rows themselves.
    classifier : object or None, default=None
        Classifier with `predict_proba` or `decision_function`, of which clones are
        fitted. None is scikit-learn's `HistGradientBoostingClassifier`, to which the
        units of columns do not matter, and codes of text are categories.
    cv : int, default=5
        Folds of the cross-validation.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, of the default classifier, and of the part of the rows that
        counts. Classifiers that are given have their own.

    Returns
    -------
    auc : float
        Mean over the folds, between 0 and 1; 0.5 is ideal, and what equal rows in equal
        order get. Well below it, sampled rows are copies of real ones in another
        order.

    Raises
    ------
    TypeError
        If `features` is neither callable nor a transformer nor None.
    ValueError
        If `cv` is not an integer from 2 to the number of rows, if either holds infinite
        numbers, if rows are sparse and the default classifier should learn them, or if
        they differ in their columns.

    See Also
    --------
    classifier_two_sample_scorer : For searches; 1 is ideal there.
    manifold_precision_recall : Tells what is wrong.

    Notes
    -----
    Both samples are shuffled alike, and the i-th rows of both share a fold. Exchanging
    the two changes nothing.

    The score can only be as good as the classifier. The default finds every column
    whose values differ, such as integers that are no integers in the sample, and is
    close to 1 for most samplers of tables; simpler ones, or `features`, ask less. It
    finds little with less than 100 rows, and nothing in categories of less than ten.

    References
    ----------
    .. [1] D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017,
       arXiv:1610.06545.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> from skdeep.metrics import classifier_two_sample_score
    >>> X, _ = load_iris(return_X_y=True)
    >>> classifier_two_sample_score(X, X, random_state=0)
    0.5
    >>> rows, _ = GaussianMixture(1, random_state=0).fit(X).sample(150)
    >>> classifier_two_sample_score(X, rows, random_state=0) > 0.7
    True
    """
    rng = check_random_state(random_state)
    (real, sampled), is_code = _numbers(X_real, X_sampled, features)
    n = min(real.shape[0], sampled.shape[0])
    if not isinstance(cv, Integral) or isinstance(cv, bool) or not 2 <= cv <= n:
        raise ValueError(
            "The 'cv' parameter of classifier_two_sample_score must be an int from 2 "
            f"to the number of rows of the smaller sample, {n}. Got {cv!r} instead."
        )
    real, sampled = (_some_rows(F, n, rng) for F in (real, sampled))
    if sparse.issparse(real) or sparse.issparse(sampled):
        rows = sparse.vstack([real, sampled], format="csr")
    else:
        rows = np.vstack([real, sampled])
    takes_default = classifier is None
    if takes_default:
        classifier = _default_classifier(rows, is_code, rng)
    fold = np.tile(rng.permutation(n) % cv, 2)
    splits = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(cv)]
    if takes_default:
        _keep_presence_alone(rows, [train for train, _ in splits])
    scores = cross_val_score(
        classifier,
        rows,
        np.repeat([0, 1], n),
        cv=splits,
        scoring="roc_auc",
        error_score="raise",
    )
    return float(scores.mean())


def _numbers(
    X_real: Any, X_sampled: Any, features: Any
) -> tuple[list[Any], np.ndarray]:
    """Real and sampled rows, and which of their columns are codes of categories."""
    tables = {"X_real": X_real, "X_sampled": X_sampled}
    if features is None and not any(map(sparse.issparse, tables.values())):
        return comparable_tables(tables)
    found = comparable_features(tables, features, "classifier_two_sample_score")
    return found, np.zeros(found[0].shape[1], dtype=bool)


def _some_rows(F: Any, n: int, rng: np.random.RandomState) -> Any:
    return F if F.shape[0] == n else F[rng.permutation(F.shape[0])[:n]]


def _default_classifier(
    rows: Any, is_code: np.ndarray, rng: np.random.RandomState
) -> Any:
    """Boosted trees, that split leaves of few rows only if there are few rows."""
    if sparse.issparse(rows):
        raise ValueError(
            "The default classifier of classifier_two_sample_score takes no sparse "
            "rows. Pass one that does, classifier=LogisticRegression(), or fewer "
            "columns, features=TruncatedSVD(50).fit(X_real)."
        )
    for column in np.flatnonzero(is_code):
        rows[:, column] = _frequent_codes(rows[:, column])
    return HistGradientBoostingClassifier(
        categorical_features=is_code,
        early_stopping=False,  # it would take a part that depends on the order of rows
        min_samples_leaf=min(20, max(1, len(rows) // 8)),
        random_state=rng.randint(2**31 - 1),
    )


def _keep_presence_alone(rows: np.ndarray, trains: list[np.ndarray]) -> None:
    """Say of columns that a classifier would find empty which of their cells are there.

    Its trees refuse those without any cell to learn from.
    """
    present = ~np.isnan(rows)
    for column in np.flatnonzero(~present.all(axis=0)):
        if not all(present[train, column].any() for train in trains):
            rows[:, column] = present[:, column]


def _frequent_codes(codes: np.ndarray) -> np.ndarray:
    """As many codes as the classifier takes, the rarest ones made one."""
    counts = np.bincount(codes[~np.isnan(codes)].astype(int))
    rare = np.argsort(-counts, kind="stable")[_MAX_CATEGORIES - 1 :]
    return np.where(np.isin(codes, rare), rare[:1], codes) if len(rare) > 1 else codes
