"""What the epochs of a phase move, as plain values and arrays, and back."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor


class Moving(Protocol):
    """What epochs move, beside tensors, generators and dicts of what they remember."""

    def state(self) -> dict[str, Any]:
        """All that moves: tensors, lists of them and plain values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, its tensors now on the CPU."""


Thing = Moving | Tensor | Generator | dict[str, Any]


def state_of(thing: Thing) -> Any:
    """State of a thing, in plain values and arrays."""
    if isinstance(thing, Generator):
        return thing.get_state().numpy()
    if isinstance(thing, Tensor | dict):
        return as_arrays(thing)
    return as_arrays(thing.state())


@torch.no_grad()
def give_state(thing: Thing, state: Any) -> None:
    """Let a thing go on from a state, in place."""
    state = as_tensors(state)
    if isinstance(thing, Generator):
        thing.set_state(state)
    elif isinstance(thing, Tensor):
        thing.copy_(state)
    elif isinstance(thing, dict):
        for name, value in state.items():
            now = thing[name]
            thing[name] = value.to(now.device) if isinstance(now, Tensor) else value
    else:
        thing.set_state(state)


def as_arrays(value: Any) -> Any:
    """Put arrays in the place of tensors."""
    if isinstance(value, dict):
        return {name: as_arrays(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_arrays(part) for part in value]
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def as_tensors(value: Any) -> Any:
    """Put tensors in the place of arrays."""
    if isinstance(value, dict):
        return {name: as_tensors(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_tensors(part) for part in value]
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
