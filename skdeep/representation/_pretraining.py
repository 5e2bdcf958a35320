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

from skdeep._compat import HasMethods
from skdeep._version import __version__
from skdeep.base import BaseDeepEstimator
from skdeep.identity import (
    described_class,
    described_parameters,
    described_products,
)
from skdeep.parameters import (
    ImageShape,
    checked_image_shape,
    require_same_image_shape,
    warn_of_channels_last,
)
from skdeep.representation._base import BaseRepresentation
from skdeep.training import FitTask
from skdeep.warning import warn
from skdeep.wrapping import thawed

PRETRAINED: list[Any] = [HasMethods(["fit", "transform"]), None]
"""What the parameter that holds an encoder to be pretrained may be."""

MEMORY: list[Any] = [str, HasMethods(["cache"]), None]
"""What the parameter `memory` of its owner may be."""

LEFT_OPEN = {
    "random_state": None,
    "device": "auto",
    "precision": "auto",
    "image_shape": None,
}
"""Parameters of an encoder that its owner fills where they have these values."""


def fitted_encoder(
    owner: BaseDeepEstimator,
    X: np.ndarray | csr_matrix,
    image_shape: ImageShape | None,
    seed: int,
    task: FitTask,
) -> tuple[BaseRepresentation, np.ndarray | None]:
    """Pretrain a clone of the estimator that `owner` was given, or copy a frozen one.

    Parameters
    ----------
    owner : BaseDeepEstimator
        Lends the clone its device, precision and memory.
    X, image_shape
        Checked rows, and the shape of their images, if they are.
    seed : int
        Of the clone, if it has none.
    task : FitTask
        Of which pretraining becomes a phase.

    Returns
    -------
    encoder : BaseRepresentation
        The owner's own, free to be trained further.
    neighbors : ndarray of shape (n_samples, n_neighbors) or None
        The nearest-neighbour graph of the rows, if pretraining made one.
    """
    if isinstance(getattr(owner, encoder_parameter(owner)), FrozenEstimator):
        task.begin("pretrain")
        with task.leaf("pretrain"):
            return _named(_copy_of_frozen(owner, X, image_shape), owner), None
    encoder = _own_encoder(owner, image_shape, X.shape[1], seed)
    pretrained, kind = _remembered(encoder, owner, task)
    try:
        state, neighbors = pretrained(encoder, X, task, kind)
    except InterruptedPretraining as interrupted:
        state, neighbors = interrupted.result
    if "pretrain" not in task.begun:  # it came out of the cache
        task.begin("pretrain")
        with task.leaf("pretrain"):
            pass
    encoder.__setstate__({n: in_memory(value) for n, value in state.items()})
    encoder.device = owner.device  # on which the owner goes on, here or elsewhere
    return _named(encoder, owner), neighbors


def in_memory(value: Any) -> Any:
    """Copy an array that lies in a file of the memory; others are as they are."""
    return np.array(value) if isinstance(value, np.memmap) else value


def encoder_parameter(owner: BaseDeepEstimator) -> str:
    """Name of the parameter that holds what an estimator pretrains."""
    (parameter,) = owner._defaults
    return parameter


def _own_encoder(
    owner: BaseDeepEstimator,
    image_shape: ImageShape | None,
    n_features: int,
    seed: int,
) -> BaseRepresentation:
    """Clone what `owner` was given; what that leaves open it takes from its owner."""
    ((parameter, default),) = owner._defaults.items()
    given, name = getattr(owner, parameter), type(owner).__name__
    if given is not None and not isinstance(given, BaseRepresentation):
        raise TypeError(
            f"The {parameter!r} parameter of {name} must be a "
            "skdeep transformer with an encoder, such as AutoencoderTransformer(), or "
            f"FrozenEstimator of a fitted one. Got {given!r} instead."
        )
    require_methods_of_skdeep(given, parameter, name)
    encoder = default() if given is None else clone(given)
    if getattr(encoder, "_skl_callbacks", []):
        warn(
            f"Callbacks of the {parameter!r} parameter of {name} are not called: set "
            f"them on {name}, whose phase 'pretrain' they see."
        )
    encoder.set_callbacks()
    encoder._validate_params()
    warn_of_channels_last(encoder.image_shape, "image_shape=")
    values = {
        "random_state": seed,
        "device": str(owner._device()),
        "precision": owner.precision,
        "image_shape": image_shape,
    }
    for left, open_value in LEFT_OPEN.items():
        if getattr(encoder, left) == open_value:
            # A class of the user's may have settled it, and have no such parameter.
            setattr(encoder, left, values[left])
    checked_image_shape(encoder, image_shape, n_features)
    return encoder


def require_methods_of_skdeep(encoder: Any, parameter: str, owner: str) -> None:
    """Raise if a class of the user's has methods of its own, which are not called."""
    for name in ("fit", "transform"):
        method = getattr(type(encoder), name, None)
        if method is not None and method.__module__.partition(".")[0] != "skdeep":
            raise TypeError(
                f"The {parameter!r} parameter of {owner} is a {type(encoder).__name__} "
                f"with a {name}() of its own, which {owner} would not call: change the "
                "rows in a step of a Pipeline before it."
            )


Pretrained = tuple[dict[str, Any], np.ndarray | None]
"""State of the encoder in arrays and plain values, and the neighbours of the rows."""


def _remembered(
    encoder: BaseRepresentation, owner: BaseDeepEstimator, task: FitTask
) -> tuple[Callable[..., Pretrained], list[Any]]:
    """Pretraining, behind the memory of `owner`, and what it is known by there."""
    if owner.memory is None:
        return _pretrain, []
    fitted = task.estimator  # the owner, or what searches for its parameters
    parameter = encoder_parameter(owner)
    given = getattr(owner, parameter)
    if not any(
        isinstance(seed, Integral)
        for seed in (getattr(given, "random_state", None), fitted.random_state)
    ):
        name = type(fitted).__name__
        warn(
            f"The memory of {name} keeps nothing without a seed, as each fit pretrains "
            f"anew. Set random_state of {name}, or of the {parameter!r} in it, to an "
            "integer, or memory=None."
        )
        return _pretrain, []
    if any(map(may_change, getattr(fitted, "_skl_callbacks", []))):
        return _pretrain, []
    memory: Memory = check_memory(owner.memory)
    parameters = described_parameters(encoder, {"verbose"})
    products = described_products(encoder)
    kind = [__version__, described_class(encoder), parameters, products]
    return memory.cache(_pretrain, ignore=["encoder", "task"]), kind


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


def _named(encoder: BaseRepresentation, owner: BaseDeepEstimator) -> BaseRepresentation:
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


def frozen_encoder(
    owner: BaseDeepEstimator,
    X: np.ndarray | csr_matrix,
    image_shape: ImageShape | None,
) -> BaseRepresentation:
    """Return the encoder that `owner` was given frozen, if it is one for its rows."""
    parameter = encoder_parameter(owner)
    fitted = thawed(getattr(owner, parameter))
    if not isinstance(fitted, BaseRepresentation):
        raise TypeError(
            f"The {parameter!r} parameter of {type(owner).__name__} must freeze a "
            "fitted skdeep transformer with an encoder, such as "
            f"AutoencoderTransformer(). Got {fitted!r} instead."
        )
    require_methods_of_skdeep(fitted, parameter, type(owner).__name__)
    check_is_fitted(fitted)
    if fitted.n_features_in_ != X.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features, but the frozen {type(fitted).__name__} was "
            f"fitted on {fitted.n_features_in_}."
        )
    source = f"the frozen {type(fitted).__name__} was fitted on"
    require_same_image_shape(image_shape, fitted.image_shape_, source)
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
    return fitted


def _copy_of_frozen(
    owner: BaseDeepEstimator,
    X: np.ndarray | csr_matrix,
    image_shape: ImageShape | None,
) -> BaseRepresentation:
    copied = copy.deepcopy(frozen_encoder(owner, X, image_shape))
    copied.device = owner.device
    if copied.precision == "auto":
        copied.precision = owner.precision
    return copied
