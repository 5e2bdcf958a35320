"""What skdeep takes from scikit-learn without a promise of stability, in one place.

Parameter constraints are private there, callbacks experimental. A release that moves
what is imported is mended here alone.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.preprocessing import PowerTransformer, StandardScaler
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.parallel import _get_threadpool_controller
from sklearn.utils.validation import _check_feature_names_in

from skdeep.concurrency import Fit, exclusively


def fit_context(fit: Fit) -> Fit:
    """Decorate a `fit`: check the parameters, and tear callbacks down at the end.

    One fit of an estimator runs at a time.
    """
    return exclusively(_fit_context(prefer_skip_nested_validation=True)(fit))


Function = TypeVar("Function", bound=Callable[..., Any])


def checks_parameters(
    constraints: dict[str, list[Any]],
) -> Callable[[Function], Function]:
    """Decorate a function: check the parameters that have constraints."""
    return validate_params(constraints, prefer_skip_nested_validation=False)


def one_thread() -> AbstractContextManager[None]:
    """Keep scikit-learn's own loops on one thread inside the context."""
    return _get_threadpool_controller().limit(limits=1, user_api="openmp")


def feature_names_in(estimator: Any, input_features: Any) -> list[str]:
    """Names of the columns of `fit`, of arrays x0, x1, ..., or given ones if right."""
    return list(_check_feature_names_in(estimator, input_features))


def standardizer_of(power: PowerTransformer) -> StandardScaler | None:
    """Return the scaler behind a fitted power transform, if it has one."""
    return power._scaler if power.standardize else None


def is_null(cell: Any) -> bool:
    """Whether an object stands for a missing cell."""
    return cell is None or is_pandas_na(cell) or bool(cell != cell)


OF_OTHER_COLUMNS = "convert string", "string or a real number", "DateTime"
"""Words of NumPy about text, other objects, and dates beside numbers."""


def raise_advised(
    error: Exception, advice: str, about: tuple[str, ...] = OF_OTHER_COLUMNS
) -> None:
    """Raise an error with some of these words with advice, and no other."""
    if any(words in str(error) for words in about):
        kind = TypeError if type(error) is TypeError else ValueError
        raise kind(f"{error}\n{advice}") from error


__all__ = [
    "OF_OTHER_COLUMNS",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "checks_parameters",
    "feature_names_in",
    "fit_context",
    "is_null",
    "one_thread",
    "raise_advised",
    "standardizer_of",
    "validate_parameter_constraints",
]
