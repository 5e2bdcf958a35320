"""What a representation is worth: the accuracy of a simple classifier on top of it.

Symbols of this file: Z is a representation of the rows X; a *rival* is a representation
that costs nothing or little, and that Z has to beat to be worth its training.
"""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skdeep._compat import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from skdeep.metrics._contingency import distinct_labels, label_array
from skdeep.metrics._rows import require_no_missing_labels
from skdeep.tables import numpy_of
from skdeep.wrapping import thawed

RIVALS = ("raw", "pca", "random")

CONSTRAINTS = {
    "encoder": [HasMethods(["fit", "transform"]), None],
    "n_labels": [tuple, list],
    "baselines": [tuple, list],
    "n_repeats": [Interval(Integral, 1, None, closed="left")],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "C": [Interval(Real, 0, None, closed="neither")],
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "metric": [StrOptions({"euclidean", "cosine"})],
}
"""What the parameters of the probes may be."""


class ProbeScores(dict):
    """Mean accuracies: name of a representation -> {labels a class: accuracy}.

    Prints as a table; ``pandas.DataFrame(scores).T`` is the same table.

    Parameters
    ----------
    draws : dict of str to dict of {int, "all"} to ndarray of shape (n_draws,)
        Accuracy with each drawn set of labels, kept as an attribute of this name.
    """

    def __init__(self, draws: dict[str, dict[Any, np.ndarray]]) -> None:
        super().__init__(
            {
                name: {n: float(accuracies.mean()) for n, accuracies in row.items()}
                for name, row in draws.items()
            }
        )
        self.draws = draws

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.draws,)

    def __repr__(self) -> str:
        columns = list(next(iter(self.draws.values())))
        width = max(map(len, ["labels a class", *self]))
        lines = ["labels a class".ljust(width) + "".join(f"{c!s:>15}" for c in columns)]
        for name, row in self.draws.items():
            cells = (_mean_and_deviation(accuracies) for accuracies in row.values())
            lines.append(name.ljust(width) + "".join(f"{cell:>15}" for cell in cells))
        return "\n".join(lines)


def linear_probe(
    encoder: Any,
    X: Any,
    y: Any,
    *,
    n_labels: tuple[int | str, ...] = (5, 10, "all"),
    baselines: tuple[str, ...] = RIVALS,
    C: float = 1.0,
    test_size: float = 0.25,
    n_repeats: int = 10,
    random_state: Any = None,
) -> ProbeScores:
    r"""Accuracy of a linear classifier on what an encoder makes of X, beside rivals.

    A good representation needs few labels. The encoder is fitted on the training rows
    without labels; then a logistic regression learns from some labels of each class
    and is judged on the held-out rows. The same is done with rivals, on the same rows
    and labels. With :math:`z_i` the representation of row i and K > 2 classes (of two,
    W is the one difference of their rows), the classifier minimises

    .. math:: C \sum_i -\log \mathrm{softmax}(W z_i / s + b)_{y_i}
              + \frac12 \|W\|^2, \qquad
              s^2 = \frac1d \sum_{j=1}^d \mathrm{Var}(z_j).

    The one factor s makes representations of any magnitude comparable and, other than
    standardised columns, keeps what the encoder says about their importance.

    Parameters
    ----------
    encoder : object or None
        Transformer, of which a clone is fitted on the training rows. A
        `sklearn.frozen.FrozenEstimator` is used as it is: held-out rows that it was
        fitted on, without their labels, may then be easier than new ones. None probes
        the raw rows alone.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows as the encoder takes them; images of shape (n_samples, C, H, W) too.
    y : array-like of shape (n_samples,)
        Class of each row, seen by the probe alone.
    n_labels : tuple of {int, "all"}, default=(5, 10, "all")
        Labels a class, drawn from the training rows. Of smaller classes all are taken.
    baselines : tuple of {"raw", "pca", "random"}, default=("raw", "pca", "random")
        Rivals: the rows themselves; as many principal components as the encoder has
        outputs; an untrained clone of the encoder, left out if the encoder has no
        parameter `max_iter` that accepts 0.
    C : float, default=1.0
        Inverse strength of the regularisation.
    test_size : float in (0, 1), default=0.25
        Share of the rows held out, the same of each class.
    n_repeats : int, default=10
        Draws of the labels, for each number of them. All labels are one draw.
    random_state : int, RandomState instance or None, default=None
        Seed of the split, the draws and the principal components. The same integer
        gives every encoder the same rows and labels. Encoders have their own.

    Returns
    -------
    scores : dict of str to dict of {int, "all"} to float
        ``scores["encoder"][5]`` is the mean accuracy with 5 labels a class; the other
        keys are the rivals. Prints as a table, becomes a data frame by
        ``pandas.DataFrame(scores).T``, and has the accuracies of all draws in the
        attribute `draws`.

    Raises
    ------
    TypeError
        If `encoder` is neither a transformer nor None.
    ValueError
        If another argument is outside its range, if `X` and `y` differ in length, or
        if a class has one single row.

    See Also
    --------
    knn_probe : Sees groups of any shape; asks less of the representation.
    sklearn.model_selection.cross_val_score : Judges a whole pipeline, with the labels.

    Notes
    -----
    The encoder is fitted once, whatever the number of draws: the deviations printed
    are those between draws of labels, not between splits or fits.

    Rivals must not lose by a matter of units. The rows and their principal components
    are therefore probed twice, with one factor for all columns and with one for each,
    and the better of the two counts, as measured on the held-out rows. If the encoder
    is a pipeline, they are made of the rows that its last step is given, so that
    columns of text and missing values can be dealt with there.

    References
    ----------
    .. [1] G. Alain, Y. Bengio, "Understanding intermediate layers using linear
       classifier probes", 2016, arXiv:1610.01644.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.random_projection import GaussianRandomProjection
    >>> from skdeep.metrics import linear_probe
    >>> X, y = load_digits(return_X_y=True)
    >>> encoder = GaussianRandomProjection(10, random_state=0)
    >>> scores = linear_probe(encoder, X, y, n_labels=(5,), random_state=0)
    >>> list(scores)
    ['encoder', 'raw', 'pca']
    >>> 0.5 < scores["encoder"][5] < scores["raw"][5] < 1.0
    True
    """
    validate_parameter_constraints(CONSTRAINTS, {"C": C}, "linear_probe")

    def learned(Z: Any, y: np.ndarray) -> Any:
        # Centred because the solver is slow far from the origin; the intercept, which
        # is not regularised, makes it the same classifier.
        center = StandardScaler(with_mean=not sparse.issparse(Z), with_std=False)
        center.set_output(transform="default")
        return make_pipeline(center, LogisticRegression(C=C, max_iter=1000)).fit(Z, y)

    return _probe(
        "linear_probe",
        learned,
        encoder,
        X,
        y,
        n_labels=n_labels,
        baselines=baselines,
        test_size=test_size,
        n_repeats=n_repeats,
        random_state=random_state,
    )


def knn_probe(
    encoder: Any,
    X: Any,
    y: Any,
    *,
    n_neighbors: int = 5,
    metric: str = "euclidean",
    n_labels: tuple[int | str, ...] = (5, 10, "all"),
    baselines: tuple[str, ...] = RIVALS,
    test_size: float = 0.25,
    n_repeats: int = 10,
    random_state: Any = None,
) -> ProbeScores:
    """Accuracy of nearest neighbours in what an encoder makes of X, beside rivals.

    Each held-out row gets the class most frequent among its nearest labelled rows. So
    the probe asks for neighbourhoods of one class rather than for classes apart in
    directions, and learns no weights: it shows what distances in the representation
    are worth, as for clustering or search.

    Parameters
    ----------
    encoder : object or None
        As in `linear_probe`: a transformer, of which a clone is fitted on the training
        rows; as it is in a `sklearn.frozen.FrozenEstimator`; None for the raw rows.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows as the encoder takes them; images of shape (n_samples, C, H, W) too.
    y : array-like of shape (n_samples,)
        Class of each row, seen by the probe alone.
    n_neighbors : int, default=5
        Labelled rows that vote, but no more than there are of a class on average: with
        two labels a class two rows, since a vote of all would always be a tie. Of ties,
        the class of the nearest row wins.
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance. Contrastive representations are trained by the cosine.
    n_labels : tuple of {int, "all"}, default=(5, 10, "all")
        Labels a class, drawn from the training rows. Of smaller classes all are taken.
    baselines : tuple of {"raw", "pca", "random"}, default=("raw", "pca", "random")
        Rivals, as in `linear_probe`.
    test_size : float in (0, 1), default=0.25
        Share of the rows held out, the same of each class.
    n_repeats : int, default=10
        Draws of the labels, for each number of them. All labels are one draw.
    random_state : int, RandomState instance or None, default=None
        Seed of the split, the draws and the principal components, which are those of
        `linear_probe` for the same integer.

    Returns
    -------
    scores : dict of str to dict of {int, "all"} to float
        ``scores["encoder"][5]`` is the mean accuracy with 5 labels a class; as in
        `linear_probe`.

    Raises
    ------
    TypeError
        If `encoder` is neither a transformer nor None.
    ValueError
        If another argument is outside its range, if `X` and `y` differ in length, or
        if a class has one single row.

    See Also
    --------
    linear_probe : The usual probe; its notes hold here too.
    neighbor_modularity_score : Judges labels on the neighbours of the input.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skdeep.metrics import knn_probe
    >>> X, y = load_digits(return_X_y=True)
    >>> scores = knn_probe(
    ...     PCA(2), X, y, n_labels=(5, "all"), baselines=("raw",), random_state=0
    ... )
    >>> scores["encoder"]["all"] < scores["raw"]["all"]
    True
    """
    given = {"n_neighbors": n_neighbors, "metric": metric}
    validate_parameter_constraints(CONSTRAINTS, given, "knn_probe")

    def learned(Z: Any, y: np.ndarray) -> Any:
        k = min(n_neighbors, max(1, len(y) // len(np.unique(y))))
        return KNeighborsClassifier(k, weights=_votes, metric=metric).fit(Z, y)

    return _probe(
        "knn_probe",
        learned,
        encoder,
        X,
        y,
        n_labels=n_labels,
        baselines=baselines,
        test_size=test_size,
        n_repeats=n_repeats,
        random_state=random_state,
    )


def _probe(
    owner: str,
    learned: Callable[[Any, np.ndarray], Any],
    encoder: Any,
    X: Any,
    y: Any,
    *,
    n_labels: tuple[int | str, ...],
    baselines: tuple[str, ...],
    test_size: float,
    n_repeats: int,
    random_state: Any,
) -> ProbeScores:
    """Scores of the classifiers ``learned(Z, y)`` on every representation of X."""
    given = {
        "encoder": encoder,
        "n_labels": n_labels,
        "baselines": baselines,
        "n_repeats": n_repeats,
        "test_size": test_size,
    }
    validate_parameter_constraints(CONSTRAINTS, given, owner)
    for n in n_labels or (n_labels,):
        if n != "all" and (not isinstance(n, Integral) or n < 1):
            raise ValueError(
                f"The 'n_labels' parameter of {owner} must hold ints in the range "
                f"[1, inf) and 'all'. Got {n_labels!r} instead."
            )
    if not set(baselines) <= set(RIVALS):
        raise ValueError(
            f"The 'baselines' parameter of {owner} must hold some of "
            f"{', '.join(map(repr, RIVALS))}. Got {baselines!r} instead."
        )
    X, y = numpy_of(X), column_or_1d(label_array(y))
    check_consistent_length(X, y)
    require_no_missing_labels(y, f"{owner} needs the class of each row. Got y with")
    if y.dtype != object:
        check_classification_targets(y)
    classes, y = distinct_labels(y)
    if len(classes) < 2:
        raise ValueError(
            f"{owner} needs y of two classes at least. Got one: {classes[0]}."
        )

    # Rows and labels are drawn first, so that they are the same for every encoder.
    rng = check_random_state(random_state)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=test_size, stratify=y, random_state=rng
    )
    drawn = {n: _label_draws(y_train, n, n_repeats, rng) for n in n_labels}
    seed = rng.randint(2**31 - 1)

    def accuracies(representation: tuple[Any, Any]) -> dict[Any, np.ndarray]:
        Z_train, Z_test = _with_common_scale(*representation)
        return {
            n: np.array(
                [learned(Z_train[i], y_train[i]).score(Z_test, y_test) for i in draws]
            )
            for n, draws in drawn.items()
        }

    candidates = _representations(encoder, X_train, X_test, baselines, seed)
    return ProbeScores(
        {
            name: max(map(accuracies, representations), key=_overall)
            for name, representations in candidates.items()
        }
    )


def _representations(
    encoder: Any, X_train: Any, X_test: Any, baselines: tuple[str, ...], seed: int
) -> dict[str, list[Any]]:
    """Name -> pairs (training rows, held-out rows), of which the best one counts."""
    if encoder is None:
        raw = _as_numbers(X_train, "X"), _as_numbers(X_test, "X")
        return {"raw": [raw, _with_scaled_columns(*raw)]}

    is_frozen = isinstance(encoder, FrozenEstimator)
    fitted = encoder if is_frozen else clone(encoder).fit(X_train)
    embedding = _encoded(fitted, X_train), _encoded(fitted, X_test)
    found = {"encoder": [embedding]}
    if "raw" in baselines or "pca" in baselines:
        before = _steps_before_the_last(fitted)
        raw = _as_numbers(before(X_train), "X"), _as_numbers(before(X_test), "X")
        raws = [raw, _with_scaled_columns(*raw)]
    if "raw" in baselines:
        found["raw"] = raws
    if "pca" in baselines:
        width = embedding[0].shape[1]
        found["pca"] = [_principal_components(*rows, width, seed) for rows in raws]
    if "random" in baselines:
        untrained = _fitted_without_training(encoder, X_train)
        if untrained is not None:
            found["random"] = [
                (_encoded(untrained, X_train), _encoded(untrained, X_test))
            ]
    return found


def _encoded(encoder: Any, X: Any) -> Any:
    return _as_numbers(encoder.transform(X), "encoder.transform(X)")


def _as_numbers(X: Any, name: str) -> Any:
    X = check_array(
        X, accept_sparse="csr", dtype=np.float64, allow_nd=True, input_name=name
    )
    return X.reshape(len(X), -1) if X.ndim > 2 else X


def _steps_before_the_last(encoder: Any) -> Any:
    """Return what maps X to the rows that the last step of a pipeline is given."""
    encoder = thawed(encoder)
    if isinstance(encoder, Pipeline) and len(encoder) > 1:
        return encoder[:-1].transform
    return lambda X: X


def _fitted_without_training(encoder: Any, X: Any) -> Any:
    """Return a clone as it is before the first epoch, None if it cannot be had."""
    encoder = thawed(encoder)
    name = "max_iter"
    if isinstance(encoder, Pipeline):
        name = f"{encoder.steps[-1][0]}__max_iter"
    if name not in encoder.get_params():
        return None
    try:
        return clone(encoder).set_params(**{name: 0}).fit(X)
    except ValueError as error:
        if "max_iter" in str(error):
            return None
        raise


def _principal_components(train: Any, test: Any, width: int, seed: int) -> Any:
    # The solver for sparse rows finds one component less than there are columns.
    most = min(train.shape) - sparse.issparse(train)
    pca = PCA(min(width, most), random_state=seed).set_output(transform="default")
    pca.fit(train)
    return pca.transform(train), pca.transform(test)


def _with_scaled_columns(train: Any, test: Any) -> tuple[Any, Any]:
    scaler = StandardScaler(with_mean=not sparse.issparse(train))
    scaler.set_output(transform="default").fit(train)
    return scaler.transform(train), scaler.transform(test)


def _with_common_scale(train: Any, test: Any) -> tuple[Any, Any]:
    scaler = StandardScaler(with_mean=False).fit(train)
    # Of columns that are constant but for rounding errors, scale_ is 1 instead.
    varies = np.isclose(scaler.scale_**2, scaler.var_, atol=0)
    variance = np.mean(scaler.var_ * varies)
    scale = np.sqrt(variance) if variance > 0 else 1.0
    return train / scale, test / scale


def _votes(distances: np.ndarray) -> np.ndarray:
    """Weights of neighbours, nearest first: equal, but for the half that parts ties."""
    n_rows, k = distances.shape
    return np.tile(1 + 0.5 ** np.arange(2, k + 2), (n_rows, 1))


def _label_draws(
    y: np.ndarray, n_labels: int | str, n_repeats: int, rng: np.random.RandomState
) -> list[np.ndarray]:
    """Row numbers of `n_labels` rows of each class, `n_repeats` times."""
    if n_labels == "all":
        return [np.arange(len(y))]
    classes = [np.flatnonzero(y == label) for label in np.unique(y)]
    return [
        np.concatenate([rng.permutation(rows)[:n_labels] for rows in classes])
        for _ in range(n_repeats)
    ]


def _overall(accuracies: dict[Any, np.ndarray]) -> float:
    return np.mean([drawn.mean() for drawn in accuracies.values()])


def _mean_and_deviation(accuracies: np.ndarray) -> str:
    if len(accuracies) == 1:
        return f"{accuracies[0]:.3f}"
    return f"{accuracies.mean():.3f} ± {accuracies.std():.3f}"
