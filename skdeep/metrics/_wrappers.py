"""Models inside of searches and frozen estimators."""

from sklearn.frozen import FrozenEstimator


def unwrapped(estimator):
    """Return what a fitted search found, or what is frozen, and else the estimator."""
    if isinstance(estimator, FrozenEstimator):
        return unwrapped(estimator.estimator)
    if hasattr(estimator, "best_estimator_"):
        return unwrapped(estimator.best_estimator_)
    return estimator
