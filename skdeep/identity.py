"""Plain values that stand for parameters, the same in each process.

By them a fit is known again: that of a checkpoint, and a pretraining that is kept.
"""

from types import CodeType, FunctionType
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator


def described_parameters(estimator: Any, but: set[str]) -> dict[str, Any]:
    """Describe all parameters of an estimator, except for those of some names."""
    return {
        name: described(value)
        for name, value in estimator.get_params().items()
        if name.rpartition("__")[2] not in but
    }


def described(value: Any) -> Any:
    """Plain value that stands for a parameter, the same in each process."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [described(part) for part in value]
    if isinstance(value, BaseEstimator) and not isinstance(value, FrozenEstimator):
        return type(value).__name__  # its parameters are listed by themselves
    if isinstance(value, FunctionType):
        held = [described(part) for part in (*enclosed(value), value.__defaults__)]
        digest = joblib.hash([described_code(value.__code__), held])
        return f"{value.__module__}.{value.__qualname__} {digest}"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return f"{type(value).__name__} {joblib.hash(value)}"


def enclosed(function: FunctionType) -> list[Any]:
    """Return what a function holds of the place where it was made, but for itself."""
    contents = []
    for cell in function.__closure__ or ():
        try:
            contents.append(cell.cell_contents)
        except ValueError:  # of a name that has no value yet
            continue
    return [content for content in contents if content is not function]


def described_code(code: CodeType) -> list[Any]:
    """Return what a function does, in plain values: lambdas share their name."""
    constants = [
        described_code(value) if isinstance(value, CodeType) else value
        for value in code.co_consts
    ]
    return [code.co_code, code.co_names, constants]
