"""Whether a generator covers the rows that it learned from."""

from collections.abc import Callable

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skdeep.fitting import Fitting
from skdeep.training import Phase
from skdeep.warning import warn

N_WATCHED = 256
"""Real rows, fixed for a training, that generated ones are held against."""

DRAWS = 4
"""Generated rows for each of them."""

COLLAPSED = 0.3
"""Coverage below which a generator counts as collapsed; full coverage is about 0.8."""


class Coverage:
    r"""The share of real rows that are the nearest ones of generated rows.

    Of m real rows, fixed for a training, those count that are nearest to at least one
    of 4 m generated rows. Cells around rows hold masses that vary about as
    exponential variables do, and a row is missed with probability
    :math:`E[e^{-4 p}] = 1 / 5` where rows are generated as they are distributed:
    coverage is then about 0.8, and a generator of half of the modes has half of that.

    Parameters
    ----------
    fitting : Fitting
        From whose rows the m are drawn.
    generate : callable
        Makes scaled rows like the real ones of given numbers: as many, of their
        classes.
    """

    def __init__(self, fitting: Fitting, generate: Callable[[Tensor], Tensor]) -> None:
        rows, shuffle = fitting.rows, fitting.shuffle
        chosen = torch.randperm(len(rows), generator=shuffle)[:N_WATCHED]
        self.chosen = chosen.to(rows.device)
        # Equal rows are one place, which counts as often as it occurs.
        self.places, self.counts = rows[self.chosen].unique(dim=0, return_counts=True)
        self.generate = generate

    @torch.no_grad()
    def share(self) -> float:
        """Share of the real rows that are covered now."""
        near = torch.zeros_like(self.counts, dtype=torch.bool)
        for _ in range(DRAWS):
            distances = torch.cdist(self.generate(self.chosen), self.places)
            near[distances.argmin(1)] = True
        return float(self.counts[near].sum()) / len(self.chosen)

    def after_epoch(self, _: Phase) -> dict[str, float]:
        """Coverage for the record of an epoch."""
        return {"coverage": self.share()}


def warn_of_collapse(coverage: float, name: str) -> None:
    """Warn if generated rows lie near few of the real ones."""
    if coverage < COLLAPSED:
        warn(
            f"{name} generates rows near {coverage:.0%} of the training rows alone, "
            "where 80% would be all: its generator has collapsed to a part of the "
            "data. Try loss='non_saturating', a larger gradient_penalty, a larger "
            "batch_size, more epochs (max_iter) or a smaller learning_rate.",
            ConvergenceWarning,
        )
