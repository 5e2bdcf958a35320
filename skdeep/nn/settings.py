"""Checks of the settings of augmentations and corruptions."""

from numbers import Real


def is_within(value: object, low: float, high: float) -> bool:
    """Whether a value is a number from one to another, and no bool."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return low <= float(value) <= high


def require(allowed: bool, owner: str, name: str, accepted: str, value: object) -> None:
    """Refuse a value of a setting, in scikit-learn's words."""
    if not allowed:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be {accepted}. Got {value!r} "
            "instead."
        )
