"""The way back through the steps of a pipeline."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import KernelPCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
)

from skdeep.wrapping import thawed

Steps = list[tuple[str, Any]]
"""Names and transformers, or what stands for none: None and ``"passthrough"``."""


def unrolled(steps: Steps) -> Iterator[tuple[str, Any]]:
    """Give the steps that do something: those inside of pipelines and frozen ones."""
    for name, step in steps:
        step = thawed(step)
        if isinstance(step, Pipeline):
            yield from unrolled([(f"{name}__{key}", s) for key, s in step.steps])
        elif step is not None and not isinstance(step, str):
            yield name, step


def undone(steps: Steps, X: Any) -> Any:
    """Bring rows back through transformers, through the last one first."""
    for _, step in reversed(list(unrolled(steps))):
        X = step.inverse_transform(nearest_codes(step, X))
    return X


def nearest_codes(step: Any, X: Any) -> Any:
    """Round to whole codes what a step would cut off to categories or bins."""
    if isinstance(step, OrdinalEncoder):
        lowest, highest = ordinal_codes(step)
    elif isinstance(step, KBinsDiscretizer) and step.encode == "ordinal":
        lowest, highest = np.zeros_like(step.n_bins_), step.n_bins_ - 1
    else:
        return X
    return np.clip(np.rint(X), lowest, highest)


def ordinal_codes(step: OrdinalEncoder) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest code of each column."""
    # There are no infrequent categories unless they were asked for.
    infrequent = getattr(step, "infrequent_categories_", step.n_features_in_ * [None])
    highest = [
        len(names) - (1 if rare is None else len(rare))
        for names, rare in zip(step.categories_, infrequent, strict=True)
    ]
    missing = np.array([names[-1] != names[-1] for names in step.categories_])
    code = np.where(missing, step.encoded_missing_value, np.nan)
    return np.fmin(code, 0), np.fmax(code, highest - missing)


def why_not_invertible(step: Any) -> str | None:
    """Return what is wrong with a transformer, and what to do, or None."""
    kind = type(step).__name__
    if isinstance(step, ColumnTransformer):
        return (
            "scikit-learn's ColumnTransformer has no inverse_transform, as it may drop "
            "or repeat columns. TabularEncoder takes columns of all kinds, and has one."
        )
    if isinstance(step, FunctionTransformer):
        if step.func is not None and step.inverse_func is None:
            return f"this {kind} has a func but no inverse_func. Give it one."
    elif isinstance(step, SimpleImputer):
        return (
            f"{kind} finds the cells that it filled by exact zeros of its indicator, "
            "if at all. Impute X before fit."
        )
    elif isinstance(step, KernelPCA) and not step.fit_inverse_transform:
        return f"{kind} learns its inverse only with fit_inverse_transform=True."
    elif isinstance(step, OneHotEncoder) and step.drop is not None:
        return f"{kind} finds what it drops in exact zeros only. Use drop=None."
    elif getattr(step, "conditional", False):
        return (
            f"this {kind} needs the class of each row, which samples lack there. Use "
            "conditional=False, or put it last."
        )
    elif not hasattr(step, "inverse_transform"):
        return f"{kind} has no inverse_transform. Apply it to X before fit."
    return None
