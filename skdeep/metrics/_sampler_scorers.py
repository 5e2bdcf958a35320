"""Scorers of samplers: callables `scorer(estimator, X, y=None)` to be maximised.

All need no labels and go where scikit-learn takes `scoring`. They draw as many rows as
X has, always with the same seed, and compare them with X: of a search, with the rows
held out. They are plain functions, so that they pickle by name.
"""

from typing import Any

from skdeep.metrics._frechet import frechet_distance
from skdeep.metrics._manifold import ManifoldScores, manifold_precision_recall
from skdeep.metrics._rows import last_step, some_rows
from skdeep.metrics._two_sample import classifier_two_sample_score
from skdeep.sampling import drawn_rows
from skdeep.tables import n_rows

_SEED = 0

# Pairs of rows, or trees on twice as many: at these sizes that is seconds for tables.
_MAX_ROWS = 10_000


def frechet_scorer(
    estimator: Any,
    X: Any,
    y: Any = None,  # noqa: ARG001
    *,
    features: Any = None,
) -> float:
    """Minus the Fréchet distance of X and rows that the estimator samples.

    Of a pipeline, rows are compared as the steps before the last one prepare them.

    Parameters
    ----------
    estimator : object
        Fitted sampler with `sample`, as `KernelDensity` or `GaussianMixture`, or a
        pipeline that ends in one, or a search over such.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Real rows. Above 10 000 rows, a fixed sample of 10 000 counts.
    y : None
        Ignored.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared: a function of the rows, or an
        estimator with `transform`, fitted already. None compares the rows themselves.
        Sampled arrays come to it as a DataFrame if X is one, with the columns of X.
        To a search, give ``functools.partial(frechet_scorer, features=...)``.

    Returns
    -------
    score : float
        Zero or less, larger is better.

    Raises
    ------
    TypeError
        If `estimator` cannot sample.
    ValueError
        If `X` has one row only, or if the sampled rows are no finite numbers.

    See Also
    --------
    frechet_distance : The formula, and what it can and cannot see.

    Notes
    -----
    A sampler that repeats its training rows scores as well as they do, which is nearly
    as well as can be: :func:`closest_record_share` tells it from a good one. So all
    scorers of samples lean to those that stay near their training rows. Where there is
    a likelihood, search by it.

    Columns of different units should be scaled, before the search or in the pipeline. A
    search over the preparing steps compares distances in different spaces: give
    `features`, and the rows of a pipeline that can sample are compared as they are.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neighbors import KernelDensity
    >>> from skdeep.metrics import frechet_scorer
    >>> X, _ = load_iris(return_X_y=True)
    >>> search = GridSearchCV(
    ...     KernelDensity(), {"bandwidth": [0.2, 1.0, 5.0]}, scoring=frechet_scorer
    ... )
    >>> search.fit(X).best_params_
    {'bandwidth': 0.2}
    """
    real, sampled = _real_and_sampled(
        estimator, X, "frechet_scorer", prepared=features is None
    )
    return -frechet_distance(real, sampled, features=features)


def classifier_two_sample_scorer(estimator: Any, X: Any, y: Any = None) -> float:  # noqa: ARG001
    r"""How well the rows that the estimator samples pass for X.

    .. math:: 1 - |2 \, \mathrm{AUC} - 1|,

    with the AUC of boosted trees that tell sampled rows from those of X.

    Parameters
    ----------
    estimator : object
        Fitted sampler with `sample`, as `KernelDensity` or `GaussianMixture`, or a
        pipeline that ends in one, or a search over such.
    X : array-like of shape (n_samples, n_features)
        Real rows. Above 10 000 rows, a fixed sample of 10 000 counts.
    y : None
        Ignored.

    Returns
    -------
    score : float
        Between 0 and 1, larger is better: 1 if the trees cannot tell.

    Raises
    ------
    TypeError
        If `estimator` cannot sample.
    ValueError
        If `X` has less than five rows, or holds infinite numbers.

    See Also
    --------
    classifier_two_sample_score : The area itself, with any classifier.

    Notes
    -----
    The rows of a pipeline are compared as they are if it can sample them, else as the
    steps before the last one prepare them. The units of columns do not matter.

    Where all candidates are told from real rows for certain, all score 0, and another
    scorer has to rank them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> from skdeep.metrics import classifier_two_sample_scorer
    >>> X, _ = load_iris(return_X_y=True)
    >>> one, three = (GaussianMixture(k, random_state=0).fit(X) for k in (1, 3))
    >>> scores = [classifier_two_sample_scorer(model, X) for model in (one, three)]
    >>> 0.0 <= scores[0] < scores[1] <= 1.0
    True
    """
    real, sampled = _real_and_sampled(
        estimator, X, "classifier_two_sample_scorer", prepared=False
    )
    auc = classifier_two_sample_score(real, sampled, random_state=_SEED)
    return 1 - abs(2 * auc - 1)


def manifold_f_scorer(
    estimator: Any,
    X: Any,
    y: Any = None,  # noqa: ARG001
    *,
    features: Any = None,
) -> float:
    r"""Harmonic mean of manifold precision and recall.

    .. math:: F = \frac{2 P R}{P + R},

    with the share P of sampled rows that lie among those of X, and the share R of the
    rows of X that lie among the sampled ones: in balls around the rows of the other
    sample that reach to their fifth nearest neighbours.

    Parameters
    ----------
    estimator : object
        Fitted sampler with `sample`, as `KernelDensity` or `GaussianMixture`, or a
        pipeline that ends in one, or a search over such.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Real rows. Above 10 000 rows, a fixed sample of 10 000 counts.
    y : None
        Ignored.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared: a function of the rows, or an
        estimator with `transform`, fitted already. None compares the rows themselves.

    Returns
    -------
    score : float
        Between 0 and 1, larger is better.

    Raises
    ------
    TypeError
        If `estimator` cannot sample.
    ValueError
        If `X` has less than six rows, or if the sampled rows are no finite numbers.

    See Also
    --------
    manifold_precision_scorer : The share P.
    manifold_recall_scorer : The share R.
    manifold_precision_recall : The formula, and what it can and cannot see.

    Notes
    -----
    Pipelines and units of columns are treated as by :func:`frechet_scorer`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neighbors import KernelDensity
    >>> from skdeep.metrics import manifold_f_scorer
    >>> X, _ = load_iris(return_X_y=True)
    >>> search = GridSearchCV(
    ...     KernelDensity(), {"bandwidth": [0.2, 1.0, 5.0]}, scoring=manifold_f_scorer
    ... )
    >>> search.fit(X).best_params_
    {'bandwidth': 0.2}
    """
    scores = _manifold_scores("f", estimator, X, features)
    both = scores.precision + scores.recall
    return 2 * scores.precision * scores.recall / both if both else 0.0


def manifold_precision_scorer(
    estimator: Any,
    X: Any,
    y: Any = None,  # noqa: ARG001
    *,
    features: Any = None,
) -> float:
    """Share of the rows that the estimator samples that lie among those of X.

    Parameters
    ----------
    estimator : object
        Fitted sampler: this and all else as of :func:`manifold_f_scorer`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Real rows.
    y : None
        Ignored.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared.

    Returns
    -------
    score : float
        Between 0 and 1, larger is better.

    See Also
    --------
    manifold_f_scorer : Precision and recall in one number.

    Notes
    -----
    A sampler that draws one good row again and again has the best precision: search
    with it beside others only.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KernelDensity
    >>> from skdeep.metrics import manifold_precision_scorer
    >>> X, _ = load_iris(return_X_y=True)
    >>> narrow, wide = (KernelDensity(bandwidth=h).fit(X) for h in (0.2, 5.0))
    >>> manifold_precision_scorer(narrow, X) > manifold_precision_scorer(wide, X)
    True
    """
    return _manifold_scores("precision", estimator, X, features).precision


def manifold_recall_scorer(
    estimator: Any,
    X: Any,
    y: Any = None,  # noqa: ARG001
    *,
    features: Any = None,
) -> float:
    """Share of the rows of X that lie among those that the estimator samples.

    Parameters
    ----------
    estimator : object
        Fitted sampler: this and all else as of :func:`manifold_f_scorer`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Real rows.
    y : None
        Ignored.
    features : callable, object or None, default=None
        What maps rows to the numbers that are compared.

    Returns
    -------
    score : float
        Between 0 and 1, larger is better.

    See Also
    --------
    manifold_f_scorer : Precision and recall in one number.

    Notes
    -----
    A sampler that scatters its rows far enough has the best recall: search with it
    beside others only.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KernelDensity
    >>> from skdeep.metrics import manifold_recall_scorer
    >>> X, _ = load_iris(return_X_y=True)
    >>> narrow, wide = (KernelDensity(bandwidth=h).fit(X) for h in (0.2, 5.0))
    >>> manifold_recall_scorer(narrow, X) <= manifold_recall_scorer(wide, X)
    True
    """
    return _manifold_scores("recall", estimator, X, features).recall


SAMPLER_SCORERS = {
    "frechet": frechet_scorer,
    "two_sample": classifier_two_sample_scorer,
    "precision": manifold_precision_scorer,
    "recall": manifold_recall_scorer,
    "f": manifold_f_scorer,
}
"""Scorers of samplers, by what a search over several of them calls their scores."""


def _manifold_scores(
    which: str, estimator: Any, X: Any, features: Any
) -> ManifoldScores:
    owner = f"manifold_{which}_scorer"
    real, sampled = _real_and_sampled(estimator, X, owner, prepared=features is None)
    return manifold_precision_recall(real, sampled, features=features)


def _real_and_sampled(
    estimator: Any, X: Any, owner: str, *, prepared: bool
) -> tuple[Any, Any]:
    """Rows of X and as many sampled ones, as the last step of a pipeline knows them.

    Unless `prepared`, those of a pipeline that can sample are as they come.
    """
    X = some_rows(X, _MAX_ROWS)
    sampler, X = last_step(estimator, X, until=None if prepared else "sample")
    if not hasattr(sampler, "sample"):
        raise TypeError(
            f"{owner} needs an estimator with sample, as KernelDensity. Got "
            f"{sampler!r} instead."
        )
    return X, drawn_rows(sampler, n_rows(X), _SEED)
