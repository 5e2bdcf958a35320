"""Contestants in alternating repetitions, and their medians, quartiles and ratios."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch

Result = TypeVar("Result")

Fit = Callable[[int], object]
"""A fit of so many epochs."""


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """Wall-clock time of a call."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def seconds_an_epoch(fit: Fit, n_set_up: int, n_epochs: int) -> float:
    """Time that `n_epochs` more epochs take: what a fit does once cancels."""
    shorter = seconds(fit, n_set_up)
    return (seconds(fit, n_set_up + n_epochs) - shorter) / n_epochs


@contextmanager
def torch_threads(n_threads: int | None) -> Iterator[None]:
    """Let torch take so many threads; None is its own choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_threads(fit: Fit, n_threads: int | None) -> Fit:
    """Return the fit with a bound on torch's threads."""

    def bounded(n_epochs: int) -> object:
        with torch_threads(n_threads):
            return fit(n_epochs)

    return bounded


def alternated(
    contestants: dict[str, Callable[[int], Result]], repetitions: int
) -> dict[str, list[Result]]:
    """Call each contestant once a repetition, with its number.

    Each repetition starts with another contestant, so that what slows the machine for
    a while slows all of them, and none always comes first.
    """
    names = list(contestants)
    results: dict[str, list[Result]] = {name: [] for name in names}
    for repetition in range(repetitions):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(contestants[name](repetition))
    return results


def spread(values: Sequence[float]) -> str:
    """Median and quartiles."""
    low, middle, high = [
        f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
        for value in np.percentile(values, [25, 50, 75])
    ]
    return f"{middle} [{low}, {high}]"


def table(
    times: dict[str, list[float]], references: Sequence[str], unit: str
) -> list[str]:
    """Format a line a contestant: its times, and their ratios to the references'.

    Ratios are taken within each repetition.
    """
    heads = [unit, *[f"/ {name}" for name in references]]
    lines = [f"{'':31s}" + "".join(f"{head:29s}" for head in heads).rstrip()]
    for name, own in times.items():
        cells = [spread(own)]
        cells += [spread(np.divide(own, times[other])) for other in references]
        lines.append(f"{name:31s}" + "".join(f"{cell:29s}" for cell in cells).rstrip())
    return lines
