"""Keep fitted models in files that hold numbers and names, and run nothing.

`save` writes safetensors and JSON, `load` reads what `save` wrote, and refuses all
else. Other ways to keep a model: pickle and joblib, which run whatever a file says, and
skops, for which `TRUSTED_TYPES` names what a reader has to trust.
"""

import inspect
import os
import re
import warnings
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skdeep import cluster, compose, generative, representation
from skdeep.base import NETWORK_KEYS, BaseDeepEstimator
from skdeep.cluster._online import Reservoir
from skdeep.compose import SamplerPipeline, TabularEncoder
from skdeep.compose._column_codes import (
    CategoryCodes,
    Grid,
    NormalScores,
    NumberCodes,
)
from skdeep.compose._columns import Column
from skdeep.compose._table_format import TableFormat
from skdeep.nn import NETWORKS
from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.storage import InvalidFileError, read_file, write_file

__all__ = ["TRUSTED_TYPES", "InvalidFileError", "load", "save"]

KIND = "skdeep model"

OWN = {
    found.__name__: found
    for found in (
        *(
            getattr(family, name)
            for family in (cluster, compose, generative, representation)
            for name in family.__all__
        ),
        CategoryCodes,
        Column,
        Grid,
        ImageAugmentation,
        MarginalCorruption,
        NormalScores,
        NumberCodes,
        Reservoir,
        TableFormat,
    )
    if inspect.isclass(found)
    and (issubclass(found, BaseEstimator) or is_dataclass(found))
}

OTHERS = {
    f"sklearn.{found.__name__}": found
    for found in (
        BayesianGaussianMixture,
        FrozenEstimator,
        FunctionTransformer,  # which can hold no function here
        GaussianMixture,
        MaxAbsScaler,
        MinMaxScaler,
        MissingIndicator,
        Normalizer,
        PCA,
        Pipeline,
        PowerTransformer,
        QuantileTransformer,
        RobustScaler,
        SimpleImputer,
        StandardScaler,
        TruncatedSVD,
    )
}

CLASSES: dict[str, type] = {**OWN, **OTHERS}
"""Name in a file -> class: `load` makes these, and none beside them."""

TRUSTED_TYPES = sorted(
    f"{c.__module__}.{c.__qualname__}" for c in [*OWN.values(), sparse.csr_matrix]
)
"""Names of the classes that a model may hold, for ``skops.io.load``."""

LEFT_OUT = {
    "_callback_fit_ctx",
    "_metadata_request",
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
}
"""What is no part of a model: callbacks, also of the copies that they are shown as it
is fitted, and what metadata a fit or score asks for.
"""

PRIVATE = {"_skdeep_version", "_sklearn_version", "_sklearn_output_config"}
"""Attributes beside the public ones that a file may set."""

FEW = 1024
"""Numbers up to this size need no proof that a network is as large as they say."""


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write an estimator to a file without pickle.

    Arrays and weights are kept as safetensors, which other programs read too, and all
    else as JSON. The file is written whole or not at all. The extra ``io`` brings the
    package that this needs.

    Parameters
    ----------
    estimator : estimator instance
        Of skdeep, fitted or not; or of scikit-learn a `Pipeline`, `FrozenEstimator`,
        scaler, `Normalizer`, `PowerTransformer`, `QuantileTransformer`, `PCA`,
        `TruncatedSVD`, `SimpleImputer`, `FunctionTransformer` without a function, or
        Gaussian mixture.

    path : str or path
        Where; an older file there is replaced.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    TypeError
        If the estimator holds what is no number, text, array or known class: a
        function, or an estimator of another package. skops may do then.
    ValueError
        If `load` would refuse the file, as parameters or attributes were changed after
        `fit`. An older file is left as it was.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    Callbacks are left out, and so are `memory` and requests of metadata
    (``set_fit_request``): they are no part of a model.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from sklearn.datasets import load_iris
    >>> import skdeep.io
    >>> from skdeep import AEKMeans, AutoencoderTransformer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=20)
    >>> model = AEKMeans(3, autoencoder=autoencoder, random_state=0).fit(X)
    >>> path = mkdtemp() + "/model.safetensors"
    >>> skdeep.io.save(model, path)
    >>> bool((skdeep.io.load(path).predict(X) == model.labels_).all())
    True
    """
    if not isinstance(estimator, BaseEstimator):
        raise TypeError(
            "The 'estimator' parameter of save must be an estimator. Got "
            f"{type(estimator).__name__} instead."
        )
    name = type(estimator).__name__
    try:
        write_file(Path(path), KIND, estimator, disassembled, rebuilt)
    except InvalidFileError as error:
        raise ValueError(
            f"This {name} would not load again: {error}. Was it changed after fit? "
            "Fit it anew, or keep it by pickle."
        ) from error


def load(path: str | os.PathLike[str]) -> Any:
    """Read an estimator from a file that `save` wrote.

    Nothing in the file is run or imported: it names classes of a list, and numbers for
    them. It is refused unless its digest is right, and all that the classes and their
    documentation say of parameters, attributes and shapes holds. The digest tells
    damage, not forgery: who makes up a file can make a model that is wrong.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    estimator : estimator instance
        As it was saved; with ``device="auto"`` on whatever device there is now.

    Raises
    ------
    InvalidFileError
        A `ValueError`: if the file was damaged or made up.
    FileNotFoundError
        If there is no such file.
    ImportError
        If safetensors is not installed.

    Warns
    -----
    InconsistentVersionWarning
        If another version of skdeep or scikit-learn wrote it: both are named.

    See Also
    --------
    save : Writes the file, and has an example.

    Examples
    --------
    >>> import skdeep.io
    >>> skdeep.io.load("missing.safetensors")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'missing.safetensors'.
    """
    estimator = read_file(Path(path), KIND, rebuilt)
    if not isinstance(estimator, BaseEstimator):
        raise InvalidFileError(f"{os.fspath(path)} holds no estimator.")
    return estimator


def disassembled(value: Any) -> tuple[str, Any]:
    """Name of a known object, and its state."""
    if isinstance(value, np.random.RandomState):
        return "RandomState", list(value.get_state())
    if sparse.issparse(value) and value.format == "csr":
        return "csr", [value.data, value.indices, value.indptr, list(value.shape)]
    name = next((n for n, c in CLASSES.items() if type(value) is c), None)
    if name is None:
        raise TypeError(
            f"skdeep.io knows no {type(value).__module__}.{type(value).__qualname__}: "
            f"got {value!r}. skops.io.dump may keep it, with types that a reader has "
            "to trust."
        )
    if is_dataclass(value):
        return name, {f.name: getattr(value, f.name) for f in fields(value)}
    state = {n: v for n, v in value.__getstate__().items() if n not in LEFT_OUT}
    return name, {**state, "memory": None} if "memory" in state else state


def rebuilt(name: str, state: Any) -> Any:
    """Object of a known class with a checked state."""
    if name not in ("RandomState", "csr") and name not in CLASSES:
        raise InvalidFileError(f"it names an unknown class {name!r}")
    try:
        if name == "RandomState":
            random_state = np.random.RandomState()
            random_state.set_state(tuple(state))
            return random_state
        if name == "csr":
            *parts, shape = state
            rows = sparse.csr_matrix(tuple(parts), shape=tuple(shape))
            rows.check_format()
            return rows
        if not isinstance(state, dict) or not all(isinstance(n, str) for n in state):
            raise InvalidFileError(f"the state of {name} has no names")
        return object_of(CLASSES[name], state)
    except InvalidFileError:
        raise
    # Whatever a class makes of numbers that are not its own: the file is to blame.
    except Exception as error:
        raise InvalidFileError(f"its {name} cannot be: {error}") from error


def object_of(found: Any, state: dict[str, Any]) -> Any:
    """Object of a class with a checked state."""
    if not issubclass(found, BaseEstimator):  # a dataclass
        require_names(found, state, {f.name for f in fields(found)}, set())
        return found(**state)
    parameters = set(found._get_param_names())
    if found in OTHERS.values() or found is SamplerPipeline:
        # None but data, and nothing that would hide a method.
        further = {n for n in state if not callable(getattr(found, n, None))}
        require_names(found, state, parameters, further)
    else:
        require_names(found, state, parameters, {*documented(found), *PRIVATE})
        require_documented(found, state)
    if state.get("memory") is not None:
        raise InvalidFileError("it names a folder of cached objects")
    estimator = found.__new__(found)
    estimator.__setstate__(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require_works(estimator)
    return estimator


def require_names(
    found: type, state: dict[str, Any], needed: set[str], allowed: set[str]
) -> None:
    """Raise unless a state has all that is needed, and nothing that is not allowed."""
    wrong = (needed - set(state)) | (set(state) - needed - allowed)
    if wrong:
        raise InvalidFileError(
            f"{found.__name__} lacks or does not have {sorted(wrong)}"
        )


@cache
def documented(found: type) -> dict[str, str]:
    """Name -> type of the attributes in the documentation of a class.

    Tests hold it against what `fit` sets.
    """
    text = inspect.getdoc(found)
    if not text:
        raise RuntimeError("skdeep.io.load reads docstrings: run Python without -OO.")
    section = re.search(
        r"^Attributes\n-+\n(.*?)^[A-Z][A-Za-z ]*\n-+\n", text, re.M | re.S
    )
    lines = re.findall(r"^(\w.*?) : (.*)$", section[1] if section else "", re.M)
    return {name: kind for names, kind in lines for name in names.split(", ")}


KINDS: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "dict": dict,
    "list": list,
    "TableFormat": TableFormat,
    "dict of str to list of float": dict,
}


def require_documented(found: type, state: dict[str, Any]) -> None:
    """Raise unless the attributes have the types and shapes of the documentation."""
    sizes = {"n_features": state.get("n_features_in_")}
    if "n_clusters" in state:
        sizes["n_clusters"] = state["n_clusters"]
    for name, kind in documented(found).items():
        if name not in state or (state[name] is None and kind.endswith("or None")):
            continue
        value = state[name]
        array = re.match(r"ndarray of shape \((.+?),?\)(?:, (\w+))?", kind)
        if array and not (
            isinstance(value, np.ndarray)
            and fits(value.shape, array[1].split(", "), sizes)
            and array[2] in (None, value.dtype.name)
        ):
            wrong = getattr(value, "shape", type(value).__name__)
            raise InvalidFileError(f"{name} is no {kind}, but {wrong}")
        if kind in KINDS and not isinstance(value, KINDS[kind]):
            raise InvalidFileError(f"{name} is no {kind}, but {value!r}")
        if kind == "torch.nn.Module":
            require_network(name, value)
        if kind == "Reservoir or None" and not (
            isinstance(value, Reservoir) and value.n_features == sizes["n_features"]
        ):
            raise InvalidFileError(f"{name} holds no rows of X, but {value!r}")
        is_estimator = kind == "estimator" or kind in OWN.keys() - KINDS.keys()
        if is_estimator and not isinstance(value, BaseDeepEstimator):
            raise InvalidFileError(f"{name} is no estimator, but {value!r}")


def fits(shape: tuple[int, ...], names: list[str], sizes: dict[str, Any]) -> bool:
    """Whether a shape has the named sizes; a name means one number throughout."""
    return len(shape) == len(names) and all(
        size == (int(name) if name.isdigit() else sizes.setdefault(name, size))
        for size, name in zip(shape, names, strict=True)
    )


def require_network(name: str, state: Any) -> None:
    """Raise unless a state is that of a network of so many weights, of their types."""
    if not isinstance(state, dict) or state.keys() != NETWORK_KEYS:
        raise InvalidFileError(f"{name} is no network")
    weights, arguments = state["weights"], state["arguments"]
    if state["network"] not in NETWORKS:
        raise InvalidFileError(f"{name} is an unknown network {state['network']!r}")
    # What a network is told to be large as is bounded by the weights there are, before
    # anything is built.
    n_numbers = sum(np.size(weight) for weight in weights.values())
    for argument in arguments.values():
        numbers = argument if isinstance(argument, list | tuple) else [argument]
        if len(numbers) > len(weights) + FEW or any(
            isinstance(n, int) and abs(n) > n_numbers + FEW for n in numbers
        ):
            raise InvalidFileError(f"{name} has fewer weights than its layers need")
    if arguments.get("n_couplings", 0) > len(weights):
        raise InvalidFileError(f"{name} has fewer weights than its layers need")
    with torch.device("meta"):
        network = NETWORKS[state["network"]](**arguments)
    expected = {
        weight: (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for weight, value in network.state_dict().items()
    }
    given = {weight: (w.shape, w.dtype.name) for weight, w in weights.items()}
    if given != expected:
        raise InvalidFileError(f"{name} has weights of other names, shapes or types")


def require_works(estimator: Any) -> None:
    """Raise whatever the methods raise if the parts of an estimator do not fit."""
    if isinstance(estimator, FrozenEstimator):  # shows the constraints of what it holds
        return
    estimator._validate_params()
    if isinstance(estimator, TabularEncoder) and hasattr(estimator, "codes_"):
        n_codes = len(estimator.get_feature_names_out())
        estimator.transform(estimator.inverse_transform(np.zeros((1, n_codes))))
    # One without a device is made of others, which were tried already.
    is_fitted = isinstance(estimator, BaseDeepEstimator) and hasattr(
        estimator, "history_"
    )
    if not is_fitted or "device" not in estimator.get_params(deep=False):
        return
    device = estimator.device
    row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    estimator.device = "cpu"  # the one it had may not be here
    try:
        if hasattr(estimator, "sample"):
            estimator.sample(1, random_state=0)
        for method in ("transform", "predict_proba"):
            if hasattr(estimator, method) and not getattr(
                estimator, "conditional", False
            ):
                getattr(estimator, method)(row)
    finally:
        estimator.device = device
