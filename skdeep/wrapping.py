"""Estimators inside of others: frozen ones, what a search found, ends of pipelines."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline


def thawed(estimator: Any) -> Any:
    """Return what is frozen, however often, and else the estimator."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator


def unwrapped(estimator: Any) -> Any:
    """Return what a fitted search found, or what is frozen, and else the estimator."""
    estimator = thawed(estimator)
    if hasattr(estimator, "best_estimator_"):
        return unwrapped(estimator.best_estimator_)
    return estimator


def fitted_model(estimator: Any) -> Any:
    """Model at the end of pipelines and searches; any other estimator itself."""
    estimator = unwrapped(estimator)
    return fitted_model(estimator[-1]) if isinstance(estimator, Pipeline) else estimator
