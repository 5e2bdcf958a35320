"""Corruption of rows, for denoising and for views of tables."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from skdeep.nn.noise import uniform
from skdeep.nn.settings import is_within, require

Augmentation = Callable[[Tensor, Generator], Tensor]
"""A random change of a batch: see `skdeep.nn.augmentation`."""


def masked(x: Tensor, fraction: float, rng: Generator) -> Tensor:
    """Set each entry of `x` to zero with probability `fraction`."""
    if fraction == 0:
        return x
    return x * (uniform(x.shape, rng) >= fraction)


def corrupted(x: Tensor, donors: Tensor, rate: float, rng: Generator) -> Tensor:
    r"""Replace cells by draws from the empirical marginals of their columns, as SCARF.

    .. math:: \tilde x_{ij} = \begin{cases} d_{r_{ij} j} & m_{ij} = 1 \\
              x_{ij} & m_{ij} = 0 \end{cases} \qquad
              m_{ij} \sim \mathrm{Bernoulli}(\texttt{rate}), \quad
              r_{ij} \sim \mathrm{Uniform}\{1, \dots, m\}

    Cells are independent of one another, so that all d cells of a row are replaced with
    probability :math:`\texttt{rate}^d`: rarely, but in tables of one or two columns.

    Parameters
    ----------
    x : Tensor of shape (n, n_features)
    donors : Tensor of shape (m, n_features)
        Rows d that lend their values, on the device of `x`: the training rows.
    rate : float in [0, 1]
    rng : Generator

    Returns
    -------
    Tensor of shape (n, n_features)
        The argument itself if `rate` is zero. A new value may equal the old one, as it
        often does in columns of few values.
    """
    if rate == 0:
        return x
    mask = uniform(x.shape, rng) < rate
    rows = torch.randint(len(donors), x.shape, generator=rng, device=x.device)
    return torch.where(mask, donors.gather(0, rows), x)


@dataclass(frozen=True)
class MarginalCorruption:
    """Replace cells of a table by values of the same column in other rows.

    A setting rather than an augmentation: `on` makes it one, from the rows that lend
    their values.

    Parameters
    ----------
    rate : float in [0, 1], default=0.3
        Probability that a cell is replaced.

    Raises
    ------
    ValueError
        If `rate` is outside its range.

    Examples
    --------
    >>> import torch
    >>> from skdeep.nn.augmentation import MarginalCorruption
    >>> x = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    >>> augment = MarginalCorruption(rate=0.5).on(x)
    >>> augment(x, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """

    rate: float = 0.3

    def __post_init__(self) -> None:
        allowed = is_within(self.rate, 0, 1)
        require(allowed, type(self).__name__, "rate", "a float in [0, 1]", self.rate)

    def on(self, donors: Tensor) -> Augmentation:
        """Bind the rows from which values are taken.

        Parameters
        ----------
        donors : Tensor of shape (m, n_features)
            Rows that lend their values, on the device of those that are corrupted.

        Returns
        -------
        augmentation : callable
            Function of a batch of rows and a generator. It raises ValueError for rows
            of other columns than those of `donors`.
        """

        def augmentation(x: Tensor, rng: Generator) -> Tensor:
            if x.shape[1:] != donors.shape[1:]:
                raise ValueError(
                    f"MarginalCorruption takes values of {donors.shape[1]} columns. "
                    f"Got rows of shape {tuple(x.shape)}."
                )
            return corrupted(x, donors, self.rate, rng)

        return augmentation
