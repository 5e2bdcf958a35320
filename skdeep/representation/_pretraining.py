"""Pretraining of the encoder inside another estimator."""

import copy
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Memory
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, check_memory

from skdeep._version import __version__
from skdeep.base import BaseDeepEstimator
from skdeep.identity import described_parameters
from skdeep.parameters import (
    checked_image_shape,
    require_same_shape,
    warn_of_channels_last,
)
from skdeep.representation._autoencoder import AutoencoderTransformer
from skdeep.representation._base import BaseRepresentation
from skdeep.training import FitTask
from skdeep.warning import warn

LEFT_OPEN = {
    "random_state": None,
    "device": "auto",
    "precision": "auto",
    "image_shape": None,
}
"""Parameters of an encoder that its owner fills where they have these values."""


def fitted_encoder(
    owner: BaseDeepEstimator,
    parameter: str,
    X: np.ndarray | csr_matrix,
    image_shape: tuple[int, int, int] | None,
    seed: int,
    task: FitTask,
    default: type[BaseRepresentation] = AutoencoderTransformer,
) -> tuple[Any, np.ndarray | None]:
    """Pretrain a clone of the estimator that `owner` was given, or copy a frozen one.

    Parameters
    ----------
    owner : BaseDeepEstimator
        Lends the clone its device, precision and memory.
    parameter : str
        Name of the parameter of `owner` that holds the estimator.
    X, image_shape
        Checked rows, and the shape of their images, if they are.
    seed : int
        Of the clone, if it has none.
    task : FitTask
        Of which pretraining becomes a phase.
    default : subclass of BaseRepresentation
        What None stands for.

    Returns
    -------
    encoder : BaseRepresentation
        The owner's own, free to be trained further.
    neighbors : ndarray of shape (n_samples, n_neighbors) or None
        The nearest-neighbour graph of the rows, if pretraining made one.
    """
    given = getattr(owner, parameter)
    if isinstance(given, FrozenEstimator):
        task.begin("pretrain")
        with task.leaf("pretrain"):
            copied = _copy_of_frozen(owner, parameter, X, image_shape)
            return _named(copied, owner), None
    if given is not None and not isinstance(given, BaseRepresentation):
        raise TypeError(
            f"The {parameter!r} parameter of {type(owner).__name__} must be a "
            "skdeep transformer with an encoder, such as AutoencoderTransformer(), or "
            f"FrozenEstimator of a fitted one. Got {given!r} instead."
        )
    inner = default() if given is None else clone(given)
    if getattr(inner, "_skl_callbacks", []):
        name = type(owner).__name__
        warn(
            f"Callbacks of the {parameter!r} parameter of {name} are not called: set "
            f"them on {name}, whose phase 'pretrain' they see.",
            UserWarning,
        )
    # What the inner estimator leaves open it takes from its owner.
    inner.set_callbacks()
    values = {
        "random_state": seed,
        "device": str(owner._device()),
        "precision": owner.precision,
        "image_shape": image_shape,
    }
    warn_of_channels_last(inner.image_shape, "image_shape=")
    for name, open_value in LEFT_OPEN.items():
        if getattr(inner, name) == open_value:
            inner.set_params(**{name: values[name]})
    inner._validate_params()
    checked_image_shape(inner, image_shape, X.shape[1])

    pretrained: Callable[..., Pretrained] = _pretrain
    kind: list[Any] = []
    fitted = task.estimator  # the owner, or what searches for its parameters
    callbacks = getattr(fitted, "_skl_callbacks", [])
    if owner.memory is not None and not any(
        isinstance(known, Integral)
        for known in (getattr(given, "random_state", None), fitted.random_state)
    ):
        name = type(fitted).__name__
        warn(
            f"The memory of {name} keeps nothing without a seed, as each fit pretrains "
            f"anew. Set random_state of {name}, or of the {parameter!r} in it, to an "
            "integer, or memory=None.",
            UserWarning,
        )
    elif owner.memory is not None and not any(map(may_change, callbacks)):
        memory: Memory = check_memory(owner.memory)
        pretrained = memory.cache(_pretrain, ignore=["encoder", "task"])
        parameters = described_parameters(inner, {"verbose"})
        kind = [__version__, type(inner).__name__, parameters]
    try:
        state, neighbors = pretrained(inner, X, task, kind)
    except InterruptedPretraining as interrupted:
        state, neighbors = interrupted.result
    if "pretrain" not in task.begun:  # it came out of the cache
        task.begin("pretrain")
        with task.leaf("pretrain"):
            pass
    inner.__setstate__(state)
    inner.device = owner.device  # on which the owner goes on, here or elsewhere
    return _named(inner, owner), neighbors


Pretrained = tuple[dict[str, Any], np.ndarray | None]
"""State of the encoder in arrays and plain values, and the neighbours of the rows."""


class InterruptedPretraining(Exception):
    """Carries a pretraining that ended early past a cache, which keeps whole ones."""

    def __init__(self, result: Pretrained) -> None:
        super().__init__()
        self.result = result


def _pretrain(
    encoder: BaseRepresentation,
    X: np.ndarray | csr_matrix,
    task: FitTask,
    kind: list[Any],  # noqa: ARG001
) -> Pretrained:
    """Train `encoder`, as a function of its rows and of what `kind` says of it.

    So a search can keep the result.
    """
    neighbors = encoder._train(X, None, task, "pretrain")
    parameters = encoder.get_params(deep=False)
    state = {n: v for n, v in encoder.__getstate__().items() if n not in parameters}
    trained = state, neighbors
    if task.interrupted_phase is not None:
        raise InterruptedPretraining(trained)
    return trained


def _named(encoder: Any, owner: BaseDeepEstimator) -> Any:
    """Let an encoder that knows no names of columns know those of its owner."""
    names = getattr(owner, "feature_names_in_", None)
    if names is not None and not hasattr(encoder, "feature_names_in_"):
        encoder.feature_names_in_ = names
    return encoder


def may_change(callback: Any) -> bool:
    """Whether a callback may make pretraining end with other weights.

    Those of scikit-learn only watch; of others nothing is known.
    """
    if type(callback).__module__.startswith("sklearn."):
        return False
    return not hasattr(callback, "changes") or callback.changes("pretrain")


def _copy_of_frozen(
    owner: BaseDeepEstimator,
    parameter: str,
    X: np.ndarray | csr_matrix,
    image_shape: tuple[int, int, int] | None,
) -> BaseRepresentation:
    fitted = getattr(owner, parameter).estimator
    if not isinstance(fitted, BaseRepresentation):
        raise TypeError(
            f"The {parameter!r} parameter of {type(owner).__name__} must freeze a "
            "fitted skdeep transformer with an encoder, such as "
            f"AutoencoderTransformer(). Got {fitted!r} instead."
        )
    check_is_fitted(fitted)
    if fitted.n_features_in_ != X.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features, but the frozen {type(fitted).__name__} was "
            f"fitted on {fitted.n_features_in_}."
        )
    source = f"the frozen {type(fitted).__name__} was fitted on"
    require_same_shape(image_shape, fitted.image_shape_, source)
    names, known = (getattr(e, "feature_names_in_", None) for e in (owner, fitted))
    if names is not None and known is not None and list(names) != list(known):
        differing = [
            f"{a!r} for {b!r}" for a, b in zip(names, known, strict=True) if a != b
        ]
        raise ValueError(
            f"X has other columns, or in another order, than those that the frozen "
            f"{type(fitted).__name__} was fitted on: {', '.join(differing[:3])}"
            f"{', ...' * (len(differing) > 3)}."
        )
    copied = copy.deepcopy(fitted)
    copied.device = owner.device
    if copied.precision == "auto":
        copied.precision = owner.precision
    return copied
