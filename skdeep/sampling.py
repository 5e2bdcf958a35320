"""What any sampler can be asked for, and paths between codes.

Samplers are those of skdeep and of scikit-learn, and whatever has `sample`. Symbols of
the paths: a and b are the codes at their ends, t is the place on them, from 0 to 1.
"""

from copy import deepcopy
from inspect import signature
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, shuffle


def classes_for(estimator: Any, method: str, y: Any) -> dict[str, Any]:
    """Arguments that hand classes on to a method of an estimator; none for None."""
    if y is None:
        return {}
    if "y" not in signature(getattr(estimator, method)).parameters:
        raise TypeError(
            f"y was given, but {method} of {type(estimator).__name__} takes no "
            "classes: leave y out. Conditional samplers take them, and behind other "
            "steps a SamplerPipeline."
        )
    return {"y": y}


def drawn_rows(
    sampler: Any,
    n_samples: int,
    random_state: Any,
    *,
    y: Any = None,
    needs_seed: bool = False,
    keeps_seed: bool = True,
) -> Any:
    """Rows that any sampler draws; None leaves it the seed that it has, if kept.

    A sampler that takes no seed draws without one, or raises if that is needed. Given
    the class of all rows or of each, a conditional one draws of these.
    """
    given = classes_for(sampler, "sample", y)
    last = sampler[-1] if isinstance(sampler, Pipeline) else sampler
    takes_seed = "random_state" in {
        *signature(sampler.sample).parameters,
        *signature(last.sample).parameters,
    }
    parameters = sampler.get_params() if hasattr(sampler, "get_params") else ()
    own = [name for name in parameters if name.split("__")[-1] == "random_state"]
    if own and not takes_seed and keeps_seed and random_state is None:
        random_state = parameters[own[-1]]
    is_left_alone = random_state is None and keeps_seed
    if is_left_alone or (not takes_seed and not own and not needs_seed):
        rows = sampler.sample(n_samples, **given)
    elif takes_seed:
        rows = sampler.sample(n_samples, **given, random_state=random_state)
    elif own:  # as of GaussianMixture, which draws with its own
        random_state = check_random_state(random_state)
        seeded = deepcopy(sampler).set_params(**dict.fromkeys(own, random_state))
        rows = seeded.sample(n_samples, **given)
    else:
        raise TypeError(
            f"random_state={random_state!r} was given, but {type(sampler).__name__} "
            "takes no seed, neither in 'sample' nor as a parameter."
        )
    if isinstance(rows, tuple):
        # Mixtures return the component of each row as well, in whose order they are.
        rows = shuffle(rows[0], random_state=check_random_state(random_state))
    return rows


def linear_path(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Codes at t on the straight line from a to b."""
    return (1 - t) * a + t * b


def spherical_path(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Codes at t on the great circle from a to b; straight where there is none."""
    lengths = np.linalg.norm([a, b], axis=-1, keepdims=True)
    directions = np.divide(
        [a, b], lengths, where=lengths > 0, out=np.zeros((2, *a.shape))
    )
    # Of two directions, the sum and the difference tell small and large angles alike.
    apart, along = np.linalg.norm(
        [directions[0] - directions[1], directions[0] + directions[1]],
        axis=-1,
        keepdims=True,
    )
    angle = 2 * np.arctan2(apart, along)
    sine = np.sin(angle)
    curved = (sine > 1e-6) & (lengths > 0).all(axis=0)
    sine = np.where(curved, sine, 1.0)
    circle = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / sine
    return np.where(curved, circle, linear_path(a, b, t))


PATHS = {"linear": linear_path, "spherical": spherical_path}
"""Paths between codes by name."""
