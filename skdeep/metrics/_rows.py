"""Real and sampled rows, brought to a form in which they can be compared.

Symbols of this file: F is what a feature map makes of the rows X. Tables come by name,
``{"X_real": X_real, "X_sampled": X_sampled}``, so that errors can name them.
"""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, resample

from skdeep._compat import OF_OTHER_COLUMNS, is_null, raise_advised
from skdeep.tables import added_up, aligned_tables, n_rows, named_like, numpy_of
from skdeep.wrapping import unwrapped


def comparable_features(
    tables: dict[str, Any], features: Any, owner: str, *, min_rows: int = 1
) -> list[Any]:
    """Features of each table: arrays or CSR matrices of floats, of equal width."""
    tables = aligned_tables(tables)
    if features is not None:  # which may ask for the names of the columns
        first = next(iter(tables.values()))
        tables = {name: named_like(first, X) for name, X in tables.items()}
    found = [features_of(X, features, owner, name) for name, X in tables.items()]
    require_same_width(dict(zip(tables, found, strict=True)))
    for name, F in zip(tables, found, strict=True):
        if F.shape[0] < min_rows:
            raise ValueError(
                f"{owner} needs at least {min_rows} rows of {name}. Got {F.shape[0]}."
            )
    return found


def features_of(X: Any, features: Any, owner: str, name: str) -> Any:
    """Features of the rows of X, flattened if they are images."""
    if features is None:
        F = X
    elif hasattr(features, "transform") and not isinstance(features, type):
        F = features.transform(numpy_of(X))
    elif callable(features) and not isinstance(features, type):
        F = features(X)
    else:
        raise TypeError(
            f"The 'features' parameter of {owner} must be a callable, a fitted "
            f"estimator with transform, or None. Got {features!r} instead."
        )
    try:
        F = check_array(
            numpy_of(F),
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            allow_nd=True,
            input_name=name if features is None else f"features({name})",
        )
    except (TypeError, ValueError) as error:
        raise_advised(
            error,
            f"{owner} compares numbers. Pass what makes numbers of the columns, fitted "
            "on real rows, as features:\n"
            "    TabularEncoder(\n"
            "        categorical='onehot',\n"
            "        numeric=StandardScaler(),\n"
            "        handle_unknown='ignore',\n"
            "    ).fit(X_real)",
            about=(*OF_OTHER_COLUMNS, "contains NaN"),
        )
        raise
    if features is not None and F.shape[0] != n_rows(X):
        raise ValueError(
            f"features({name}) has {F.shape[0]} rows, but {name} has {n_rows(X)}."
        )
    return F.reshape(len(F), -1) if F.ndim > 2 else added_up(F)


def require_same_width(tables: dict[str, Any]) -> None:
    """Raise unless all have the same number of columns."""
    widths = {name: F.shape[1] for name, F in tables.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"{', '.join(tables)} must have the same number of columns. Got "
            f"{', '.join(map(str, widths.values()))}."
        )


def require_no_missing_labels(labels: np.ndarray, subject: str) -> None:
    """Raise if labels are missing, in an error that begins with a subject."""
    kind = labels.dtype.kind
    if (kind in "fmM" and np.isnan(labels).any()) or (
        kind == "O" and any(map(is_null, labels))
    ):
        raise ValueError(
            f"{subject} missing values: leave out their rows, or give them a label of "
            "their own."
        )


def near_one(*tables: Any) -> list[Any]:
    """Scale tables by one power of two, if squared distances would over- or underflow.

    Their largest numbers are near 1 then; or the usual ones, if the largest lie so far
    out that their squares are no numbers, which are cut where they are. Tables of
    integers stay as they are.
    """
    if any(table.dtype.kind != "f" for table in tables):
        return [*tables]
    # Of what is stored: to ask sparse matrices would add up their entries in place.
    stored = [np.abs(t.data if sparse.issparse(t) else t).ravel() for t in tables]
    sizes = np.concatenate([values[values > 0] for values in stored])
    limit = min(np.finfo(table.dtype).maxexp for table in tables) // 4
    if not len(sizes):
        return [*tables]
    is_far_out = sizes.max() >= 2.0**limit
    exponent = int(np.frexp(np.median(sizes) if is_far_out else sizes.max())[1])
    if abs(exponent) < limit // 2 and not is_far_out:
        return [*tables]
    scaled = []
    for table in tables:
        moved = table.copy()
        values = moved.data if sparse.issparse(moved) else moved
        with np.errstate(over="ignore"):
            np.ldexp(values, -exponent, out=values)
        values.clip(-(2.0**limit), 2.0**limit, out=values)
        scaled.append(moved)
    return scaled


def some_rows(X: Any, max_rows: int) -> Any:
    """All rows, or of more of them a sample that is always the same."""
    # All candidates of a search are judged on the same rows.
    if n_rows(X) <= max_rows:
        return X
    return resample(X, replace=False, n_samples=max_rows, random_state=0)


def last_step(estimator: Any, X: Any, *, until: str | None = None) -> tuple[Any, Any]:
    """Model at the end of searches and pipelines, and the rows that it is given there.

    A pipeline that has the method `until` is that model itself.
    """
    model = unwrapped(estimator)
    while isinstance(model, Pipeline) and not (until and hasattr(model, until)):
        X = model[:-1].transform(X) if len(model) > 1 else X
        model = unwrapped(model[-1])
    return model, X
