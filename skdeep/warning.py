"""Warnings at the line of the user that led to them."""

import sys
import warnings

INSIDE = {"contextlib", "functools", "joblib", "skdeep", "sklearn"}
"""Packages whose lines the user cannot mend."""


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line outside of skdeep, and of what calls skdeep for others.

    Python 3.12 has `skip_file_prefixes` for this.
    """
    depth = 1
    frame = sys._getframe()
    while _is_inside(frame.f_globals.get("__name__", "")) and frame.f_back is not None:
        frame = frame.f_back
        depth += 1
    warnings.warn(message, category, stacklevel=depth)


def _is_inside(module: str) -> bool:
    return module.partition(".")[0] in INSIDE
