"""Plain values that stand for parameters, the same in each process.

By them a fit is known again: that of a checkpoint, and a pretraining that is kept.
"""

import dis
import pickle
from collections.abc import Iterable, Iterator
from copyreg import dispatch_table
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import joblib
import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from skdeep._version import __version__
from skdeep.training import multiplies_bfloat16


def described_parameters(estimator: Any, but: set[str]) -> dict[str, Any]:
    """Describe all parameters of an estimator, except for those of some names.

    Raises
    ------
    ValueError
        If a parameter holds what cannot be known again, such as a lock.
    """
    parameters: dict[str, Any] = {}
    for name, value in parameters_of(estimator).items():
        if name.rpartition("__")[2] in but:
            continue
        if isinstance(value, BaseEstimator) and not isinstance(value, FrozenEstimator):
            parameters[name] = described_class(value)  # its parameters follow
            continue
        try:
            parameters[name] = described(value)
        except Exception as error:  # of pickle, each type raises its own
            raise ValueError(
                f"The {name!r} parameter of {type(estimator).__name__} holds what "
                f"cannot be known again: {value!r} ({error}). Checkpoint and memory "
                "need functions and objects that hold what pickle can write."
            ) from error
    return parameters


def parameters_of(estimator: Any) -> dict[str, Any]:
    """All parameters, and those that a class of the user's settles in `__init__`."""
    parameters: dict[str, Any] = {}
    left = [("", estimator)]
    for prefix, inner in left:
        if not isinstance(inner, BaseEstimator) or isinstance(inner, FrozenEstimator):
            continue
        own = {**inner.get_params(deep=False), **settled_by(inner)}
        parameters |= {prefix + name: value for name, value in own.items()}
        left += [(f"{prefix}{name}__", value) for name, value in own.items()]
    return dict(sorted(parameters.items()))


def settled_by(estimator: BaseEstimator) -> dict[str, Any]:
    """Parameters of the classes that an estimator's own class was derived from."""
    settled: dict[str, Any] = {}
    for base in type(estimator).__mro__:
        try:
            names: list[str] = getattr(base, "_get_param_names", list)()
        except RuntimeError:  # it takes any arguments, and so has no parameters
            continue
        settled |= {n: getattr(estimator, n) for n in names if hasattr(estimator, n)}
    return settled


def described_class(value: Any) -> str:
    """Name of the class of an object, and what a script or notebook defines in it."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "skdeep":
        return kind.__name__
    try:
        return f"{name_of(kind)} {joblib.hash(described(defined_for(value)))}"
    except Exception:  # of pickle: it works with what cannot be known, such as a lock
        return name_of(kind)


def described(value: Any, within: tuple[Any, ...] = ()) -> Any:
    """Plain value that stands for a parameter, or for what others hold `within` it.

    Functions stand for what they do. What a script or a notebook defines may change
    under its name, so there the globals of functions and the methods of objects count;
    what an installed module defines is known by its name.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, type | ModuleType):
        return name_of(value)
    if hasattr(value, "requires_grad"):  # a tensor, which pickle writes in its own way
        value = value.detach().cpu().numpy()
    if any(value is outer for outer in within):
        return "itself"
    kind, parts = type(value), partial(described, within=(*within, value))
    if isinstance(value, list | tuple):
        return [parts(part) for part in value]
    if isinstance(value, set | frozenset):  # of no order that processes share
        return sorted(joblib.hash(parts(part)) for part in value)
    if isinstance(value, dict):
        return [[parts(key), parts(held)] for key, held in value.items()]
    if isinstance(value, MethodType):
        return [parts(value.__func__), parts(value.__self__)]
    if isinstance(value, partial):
        return [parts(value.func), parts(value.args), parts(value.keywords)]
    if isinstance(value, FunctionType):
        held = [described_code(value.__code__), parts(held_by(value))]
        return f"{name_of(value)} {joblib.hash(held)}"
    ways = (kind.__reduce_ex__, kind.__reduce__, dispatch_table.get(kind))
    if ways == (object.__reduce_ex__, object.__reduce__, None):
        # What pickle would write, and what functions and tensors in it are.
        state = value.__reduce_ex__(pickle.DEFAULT_PROTOCOL)[2]
        value = [name_of(kind), parts(defined_for(value)), parts(state)]
    return f"{kind.__name__} {joblib.hash(value)}"


def defined_for(value: Any) -> list[Any]:
    """Return what the classes of an object define, those of a script or notebook."""
    own = [base for base in type(value).__mro__ if base.__module__ == "__main__"]
    return [
        [name, getattr(part, "__func__", getattr(part, "fget", part))]
        for base in own
        for name, part in sorted(vars(base).items())  # copies have another order
        if callable(part) or not name.startswith(("__", "_abc_", "_sklearn_"))
    ]


def name_of(value: Any) -> str:
    """Name of a module, and that of a class or function in its module."""
    if isinstance(value, ModuleType):
        return value.__name__
    return f"{value.__module__}.{value.__qualname__}"


def held_by(function: FunctionType) -> list[Any]:
    """Return what a function works with beside its arguments."""
    return [
        enclosed(function),
        function.__defaults__,
        function.__kwdefaults__,
        globals_of(function) if function.__module__ == "__main__" else None,
    ]


def enclosed(function: FunctionType) -> list[Any]:
    """Return what a function holds of the place where it was made."""
    contents = []
    for cell in function.__closure__ or ():
        try:
            contents.append(cell.cell_contents)
        except ValueError:  # of a name that has no value yet
            continue
    return contents


def globals_of(function: FunctionType) -> dict[str, Any]:
    """Return the globals that a function reads, by their names."""
    names = sorted(set(names_of_globals(function.__code__)))
    known = function.__globals__
    return {name: known[name] for name in names if name in known}


def names_of_globals(code: CodeType) -> Iterator[str]:
    """Yield the names that a piece of code, or one in it, looks up as globals."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield instruction.argval
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from names_of_globals(value)


def described_code(code: CodeType) -> list[Any]:
    """Return what a function does, in plain values: lambdas share their name."""
    constants = [
        described_code(value) if isinstance(value, CodeType) else described(value)
        for value in code.co_consts
    ]
    return [code.co_code, code.co_names, constants]


def description_of(
    estimator: Any, X: Any, y: Any, but: set[str]
) -> dict[str, dict[str, Any]]:
    """Describe in plain values what a fit is of, but for some parameters."""
    parameters = described_parameters(estimator, but)
    for name, value in estimator.get_params().items():
        if isinstance(value, np.random.RandomState):
            parameters[name] = "RandomState"  # the seeds drawn of it are kept
    return {
        "estimator": {"class": described_class(estimator)},
        "parameters": parameters,
        "data": {
            **{f"{part} of X": value for part, value in described_data(X).items()},
            **{f"{part} of y": value for part, value in described_data(y).items()},
        },
        "callbacks": described_callbacks(getattr(estimator, "_skl_callbacks", [])),
        "surroundings": {
            "skdeep": __version__,
            "torch": torch.__version__,
            "device": str(estimator._device()),
            "products": described_products(estimator),
        },
    }


def described_products(estimator: Any) -> str:
    """Type of the products in training, that of large networks if it is not given."""
    precision = getattr(estimator, "precision", "auto")
    if precision != "auto":
        return precision
    return "bfloat16" if multiplies_bfloat16(estimator._device()) else "float32"


def described_callbacks(callbacks: Iterable[Any]) -> dict[str, Any]:
    """Describe the callbacks that say that a fit may end with other weights by them."""
    changing: dict[str, list[Any]] = {}
    for callback in callbacks:
        if hasattr(callback, "changes") and callback.changes(""):
            parameters = vars(callback).items()
            found = {k: described(v) for k, v in parameters if not k.startswith("_")}
            changing.setdefault(type(callback).__name__, []).append(found)
    return dict(changing)


def described_data(X: Any) -> dict[str, Any]:
    """Shape, type and digest of the values of an array or matrix."""
    if X is None:
        return {"shape": None}
    if sparse.issparse(X):
        parts = X.data, X.indices, X.indptr
        values = joblib.hash([np.asarray(part) for part in parts])
    else:
        X = np.asarray(X)
        values = joblib.hash(np.ascontiguousarray(X))
    return {"shape": list(X.shape), "type": str(X.dtype), "values": values}
