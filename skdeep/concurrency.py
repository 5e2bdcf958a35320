"""One fit of an estimator at a time."""

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Fit = TypeVar("Fit", bound=Callable[..., Any])

_lock = threading.Lock()
_fitted_by: dict[int, int] = {}
"""By estimator, the thread that fits it."""


def exclusively(fit: Fit) -> Fit:
    """Let a `fit` refuse an estimator that another thread is fitting.

    Fits write to their estimator: of two at once on one object, each would leave a part
    of its own. Estimators of their own, such as clones, may be fitted at once.
    A fit inside of another of the same estimator, as in `partial_fit`, goes on.
    """

    @wraps(fit)
    def fit_alone(estimator: Any, *arguments: Any, **options: Any) -> Any:
        own = threading.get_ident()
        with _lock:
            before = _fitted_by.get(id(estimator))
            if before not in (None, own):
                raise RuntimeError(
                    f"This {type(estimator).__name__} is being fitted already, in "
                    "another thread. Fit a copy of it: "
                    "sklearn.base.clone(estimator).fit(X)."
                )
            _fitted_by[id(estimator)] = own
        try:
            return fit(estimator, *arguments, **options)
        finally:
            if before is None:
                with _lock:
                    _fitted_by.pop(id(estimator), None)

    return fit_alone  # type: ignore[return-value]


def _begin_in_child() -> None:
    # Of the parent's threads none but the one that forked is in the child.
    global _lock
    _lock = threading.Lock()
    _fitted_by.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
