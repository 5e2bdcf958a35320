"""What every sampler does alike: the half that has no objective."""

from collections.abc import Callable, Hashable
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Tags, check_random_state, check_scalar
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from skdeep._compat import (
    Interval,
    StrOptions,
    is_null,
    validate_parameter_constraints,
)
from skdeep.base import RUN_CONSTRAINTS, STEP_CONSTRAINTS, BaseDeepEstimator
from skdeep.parameters import checked_sizes
from skdeep.scaling import in_units
from skdeep.training import Rows, drawn_in_chunks, in_chunks

RowMap = Callable[..., Tensor]
"""Function of rows ``(n, n_features)`` and, if conditional, of their contexts."""

Classes = tuple[np.ndarray, np.ndarray]
"""In order, and the place of that of each row among them."""


class BaseSampler(BaseDeepEstimator):
    """Drawing rows, and the classes on which a conditional sampler depends.

    A second class above the estimators, beside `BaseDeepEstimator`. A *context* is the
    class of each row as one column a class, ``(n, n_classes)``.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": [StrOptions({"auto"}), tuple, list],
        "image_shape": [tuple, list, None],
        "scale": [StrOptions({"auto", "standard", "minmax"}), None],
        "conditional": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        **STEP_CONSTRAINTS,
        **RUN_CONSTRAINTS,
    }

    _early_stopping_constraints: dict[str, list[Any]] = {
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    }

    _read_in_use: tuple[str, ...] = ()
    """Parameters that are read after `fit` too, since which they may have changed."""

    conditional: bool
    """Whether `fit` learns the classes of rows."""

    constants_: np.ndarray
    """Value of each column that samples repeat, NaN of all others."""

    _draw: Callable[[int, Tensor | None, Generator], Tensor]
    """Draw scaled rows: of their number, their contexts and a generator."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = bool(self.conditional)
        return tags

    def sample(
        self, n_samples: int = 1, *, y: Any = None, random_state: Any = None
    ) -> np.ndarray:
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        y : class, array-like of shape (n_samples,) or None, default=None
            With ``conditional=True``: the class of all rows or of each. None draws the
            classes by their frequency in `fit`. Refused without.
        random_state : int, RandomState instance or None, default=None
            An int gives the same rows at each call.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Rows in the units of the input; images are flattened. In float64 if float32
            is too coarse for a column far from zero, such as times in seconds.

        Raises
        ------
        ValueError
            If `n_samples` is less than 1, if a class was not seen in `fit`, or if y is
            given and none are known.
        """
        self._check_usable()
        n_samples = int(check_scalar(n_samples, "n_samples", Integral, min_val=1))
        drawn = check_random_state(random_state)
        seed = int(drawn.randint(2**31 - 1))
        device = self._home()
        rng = Generator(device).manual_seed(seed)
        if y is None and self._knows_classes:
            prior = np.exp(self.class_log_prior_)
            y = drawn.choice(self.classes_, n_samples, p=prior / prior.sum())
        context = self._context(y, n_samples)

        def draw(part: slice) -> Tensor:
            given = None if context is None else context[part].to(device)
            return self._draw(part.stop - part.start, given, rng)

        X = drawn_in_chunks(draw, n_samples, self.n_features_in_, device)
        return self._in_units(X)

    def _check_usable(self) -> None:
        """Raise unless there is a fit, and what is read now is as `fit` wants it."""
        check_is_fitted(self)
        read = {name: getattr(self, name) for name in self._read_in_use}
        constraints = self._parameter_constraints
        validate_parameter_constraints(constraints, read, type(self).__name__)

    # classes

    @property
    def _knows_classes(self) -> bool:
        """Whether `fit` was conditional: the parameter may have changed since."""
        return "classes_" in vars(self)

    def _checked_classes(self, X: Any, y: Any) -> Classes | None:
        """Classes of the rows of X, if it takes any; raise if y does not hold them.

        Before a fit begins: one that is refused leaves the former fit as it was.
        """
        if not self.conditional:
            return None
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but "
                "the target y is None: with conditional=True, y holds the class of "
                "each row."
            )
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        classes, codes = classes_of(y)
        check_classification_targets(y)
        return classes, codes

    def _fitted_classes(
        self, given: Classes | None
    ) -> tuple[dict[str, np.ndarray], Tensor | None]:
        """Attributes that tell the classes, and the context of each row."""
        if given is None:
            for name in ["classes_", "class_log_prior_"]:  # of an earlier fit
                self.__dict__.pop(name, None)
            return {}, None
        classes, codes = given
        log_prior = np.log(np.bincount(codes) / len(codes))
        context = context_of(codes, len(log_prior)).to(self._device())
        return {"classes_": classes, "class_log_prior_": log_prior}, context

    def _context(self, y: Any, n_rows: int) -> Tensor | None:
        """Context of rows of class(es) y, on the CPU."""
        name = type(self).__name__
        if not self._knows_classes:
            if y is not None:
                raise ValueError(
                    f"This {name} knows no classes. Fit it with conditional=True and "
                    "the class of each row as y."
                )
            return None
        if y is None:
            raise ValueError(
                f"This {name} was fitted with conditional=True: pass the class of each "
                "row as y."
            )
        y = np.full(n_rows, y) if np.ndim(y) == 0 else column_or_1d(y)
        if len(y) != n_rows:
            raise ValueError(
                f"y has {len(y)} classes, but there are {n_rows} rows: those of X, or "
                "n_samples."
            )
        if self.classes_.dtype.kind in "mM":  # of any unit
            with suppress(TypeError, ValueError):  # what is no time is named below
                y = np.asarray(y, dtype=self.classes_.dtype)
        known = {label: code for code, label in enumerate(self.classes_.tolist())}
        labels = y.tolist()
        unknown = [
            label
            for label in labels
            if not isinstance(label, Hashable) or label not in known
        ]
        if unknown:
            first, classes = unknown[0], self.classes_.tolist()
            if self.classes_.dtype.kind in "mM":  # nanoseconds are mere numbers there
                first, classes = str(y[labels.index(first)]), [*map(str, self.classes_)]
            raise ValueError(
                f"y holds the class {first!r}, which {name} did not see in fit. "
                f"It knows {classes}."
            )
        return context_of([known[label] for label in labels], len(known))

    # rows

    def _mapped(self, X: Any, y: Any, function: RowMap) -> np.ndarray:
        """Apply a function of rows and contexts to X, in scaled units, by chunks."""
        return self._over(
            self._scaled_rows(self._validated(X, reset=False)), y, function
        )

    def _over(self, rows: Rows, y: Any, function: RowMap) -> np.ndarray:
        context = self._context(y, len(rows))
        if context is None:
            return in_chunks(function, rows)
        return in_chunks(function, rows, context.to(rows.device))

    def _has_density(self) -> np.ndarray:
        """Which columns count in the density: those that vary."""
        return np.isnan(self.constants_)

    def _log_densities(self, X: Any, y: Any, log_density: RowMap) -> np.ndarray:
        """Log-density of each row in units of the input, from that of scaled rows.

        Given y, it is that of the rows in their classes; else, of a conditional
        sampler, that of their mixture. Columns without a density are not stretched by
        the scaling either.
        """
        rows = self._scaled_rows(self._validated(X, reset=False))
        log_scale = np.log(self.scale_[self._has_density()]).sum()
        if y is not None or not self._knows_classes:
            given = y if self._knows_classes else None
            return self._over(rows, given, log_density) - np.float32(log_scale)
        joint = [
            self._over(rows, label, log_density) + log_prior
            for label, log_prior in zip(
                self.classes_, self.class_log_prior_, strict=True
            )
        ]
        return (logsumexp(joint, axis=0) - log_scale).astype(np.float32)

    def _decoded(
        self, Z: Any, y: Any, function: RowMap, n_components: int
    ) -> np.ndarray:
        """Rows in units of the input that a function makes of codes Z."""
        codes = self._code_rows(Z, n_components)
        return self._in_units(self._over(codes, y, function))

    def _in_units(self, X: np.ndarray) -> np.ndarray:
        return in_units(X, self.offset_, self.scale_, constants=self.constants_)


def fit_transform(self: Any, X: Any, y: Any = None) -> np.ndarray:
    """Fit, and return the code of each row.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Or images of shape (n_samples, C, H, W).
    y : array-like of shape (n_samples,) or None, default=None
        Class of each row: needed with ``conditional=True``, else ignored.

    Returns
    -------
    Z : ndarray of shape (n_samples, n_codes), float32
        As of `transform`.
    """
    # A method of those that have codes: each names it.
    return self.fit(X, y).transform(X, y if self.conditional else None)


def score(self: Any, X: Any, y: Any = None) -> float:
    """Mean of `score_samples`: larger is better.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : class, array-like of shape (n_samples,) or None, default=None
        As in `score_samples`.

    Returns
    -------
    score : float
    """
    # A method of those that have densities: each names it.
    return float(self.score_samples(X, y).mean(dtype=np.float64))


def widths(estimator: Any, default: tuple[int, ...]) -> list[int]:
    """Widths of the network, of which there has to be one."""
    sizes = checked_sizes(estimator, default)
    if not sizes:
        raise ValueError(
            f"The 'hidden_layer_sizes' parameter of {type(estimator).__name__} must "
            "hold one integer at least. Got () instead."
        )
    return sizes


def classes_of(y: np.ndarray) -> Classes:
    """Classes in order, and the place of that of each row among them.

    Raises
    ------
    ValueError
        If the class of a row is missing.
    """
    if y.dtype.kind in "OM" and any(map(is_null, y)):
        raise ValueError("Input y contains missing cells: each row needs a class.")
    assert_all_finite(y, input_name="y")
    encoder = LabelEncoder()
    codes = encoder.fit_transform(y)  # which says what it cannot compare
    return encoder.classes_, codes


def context_of(codes: Any, n_classes: int) -> Tensor:
    """One column a class, ``(n, n_classes)``, with a one for that of each row."""
    columns = torch.as_tensor(codes, dtype=torch.int64, device="cpu")
    return one_hot(columns, n_classes).float()


def joined(x: Tensor, context: Tensor | None, n_places: int = 1) -> Tensor:
    """Rows with their contexts as further columns, or as further channels."""
    if context is None:
        return x
    return torch.cat([x, context.repeat_interleave(n_places, dim=1)], dim=1)
