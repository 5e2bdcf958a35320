"""Codes of single columns of a table: real numbers from which cells can be rebuilt.

Cells come as values and a mask of those that are missing. They are encoded to one or
more columns of float64, and any numbers in the place of these decode to cells that the
column could have held.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import ndtr, ndtri

from skdeep.compose._columns import Cells

N_QUANTILES = 1000
"""Shares, and as many scores, at which the values of a column are kept."""

MAX_DECIMALS = 6
"""Decimal places up to which floats count as rounded."""


@dataclass(frozen=True)
class NormalScores:
    r"""Quantiles of values to those of a standard normal.

    With :math:`F(x)` the share of values below x and half of those equal to it,
    :math:`z = \Phi^{-1}(F(x))`. All z on the step of a value lead back to it, and those
    between two values to what lies between.
    """

    quantiles: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Self:
        """Scores among some values."""
        x = np.sort(x)
        ranks = telling_ranks(x)
        return cls(x[ranks], (ranks + 0.5) / len(x))

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of values, of those beyond the largest that of it."""
        last = np.interp(x, self.quantiles, self.levels)
        first = -np.interp(-x, -self.quantiles[::-1], -self.levels[::-1])
        return ndtri((first + last) / 2)

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Return the values of scores."""
        return np.interp(ndtr(z), self.levels, self.quantiles)


def telling_ranks(x: np.ndarray) -> np.ndarray:
    """Places in sorted values between which straight lines tell the quantiles.

    Of few values both ends of their steps; of many, places at even shares and at even
    scores: the latter come close in the tails, where values are far apart.
    """
    n = len(x)
    first = np.flatnonzero(np.r_[True, x[1:] != x[:-1]])
    if len(first) <= N_QUANTILES:
        return np.union1d(first, np.append(first[1:], n) - 1)
    shares = np.linspace(0.5 / n, 1 - 0.5 / n, min(n, N_QUANTILES))
    scores = np.linspace(ndtri(shares[0]), ndtri(shares[-1]), len(shares))
    places = n * np.concatenate([shares, ndtr(scores)]) - 0.5
    return np.unique(np.rint(places).astype(int))


# categories


@dataclass(frozen=True)
class CategoryCodes:
    """Scores of categories in an order, or an indicator for each of them.

    The category None stands for missing cells, if there were any. All rare categories
    together come last, and begin with the most frequent one.
    """

    categories: list[Any]
    rare: list[Any]
    scores: NormalScores | None

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        missing: np.ndarray,
        *,
        levels: list[Any] | None,
        max_categories: int | None,
        as_scores: bool,
    ) -> Self:
        """Codes of the categories of a column, at most so many.

        Scores follow the levels if these have an order, else the frequencies.
        """
        try:
            counts = Counter(named(values, missing))
        except TypeError as error:
            raise TypeError(
                f"argument must be a string or a number, or a category: {error}."
            ) from error
        found = sorted(counts, key=place)
        frequent = sorted(found, key=lambda category: -counts[category])
        n_kept = len(found)
        if max_categories is not None and n_kept > max_categories:
            n_kept = max_categories - 1
        kept, rare = frequent[:n_kept], frequent[n_kept:]
        if not as_scores:
            return cls(sorted(kept, key=place), rare, None)
        if levels is not None:
            kept.sort(key=[*levels, None].index)
        choices = cls(kept, rare, None).choices(values, missing)
        return cls(kept, rare, NormalScores.of(choices.astype(np.float64)))

    def suffixes(self) -> list[str]:
        """Return what the names of the codes add to that of the column."""
        if self.scores is not None:
            return [""]
        rest = ["_infrequent"] if self.rare else []
        return [f"_{category}" for category in self.categories] + rest

    def unknown(self, values: np.ndarray, missing: np.ndarray) -> list[Any]:
        """Return the categories that have no code."""
        known = {*self.categories, *self.rare}
        return sorted(set(named(values, missing)) - known, key=place)

    def choices(self, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Return the places of categories in their order, -1 of unknown ones."""
        choice_of = {category: i for i, category in enumerate(self.categories)}
        choice_of |= dict.fromkeys(self.rare, len(self.categories))
        return np.array([choice_of.get(name, -1) for name in named(values, missing)])

    def encoded(self, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Return scores or indicators, for unknown categories zeros."""
        choices = self.choices(values, missing)[:, None]
        if self.scores is None:
            n_choices = len(self.categories) + bool(self.rare)
            return (choices == np.arange(n_choices)).astype(np.float64)
        return np.where(choices < 0, 0, self.scores.transform(choices))

    def decoded(self, codes: np.ndarray) -> Cells:
        """Return the cells of scores or of the largest indicators.

        Of rare categories it is the most frequent one.
        """
        if self.scores is None:
            choices = codes.argmax(axis=1)
        else:
            choices = np.rint(self.scores.inverse_transform(codes[:, 0])).astype(int)
        categories = [*self.categories, *self.rare[:1]]
        values = np.empty(len(categories), dtype=object)
        values[:] = categories
        is_missing = np.array([category is None for category in categories])
        return values[choices], is_missing[choices]


def named(values: np.ndarray, missing: np.ndarray) -> Iterable[Any]:
    """Categories of cells: None of missing ones."""
    names = values.copy()
    names[missing] = None
    return names


def place(category: Any) -> tuple[bool, str, Any]:
    """Key that sorts categories of all types: the missing one comes last."""
    return category is None, type(category).__name__, category


# numbers and times


@dataclass(frozen=True)
class Grid:
    """The places (origin + k * step) / 10 ** decimals, k whole, where values lie.

    The largest value is `n_steps` from the origin, which is the smallest. Without
    decimals they lie anywhere.
    """

    decimals: int | None
    origin: int = 0
    step: int = 1
    n_steps: int = 0

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Coarsest grid of some values."""
        decimals: int | None = 0
        if values.dtype.kind == "f":
            tried = range(MAX_DECIMALS + 1)
            decimals = next((d for d in tried if is_rounded(values, d)), None)
            if decimals is None:
                return cls(None)
            whole = np.rint(values.astype(np.float64) * 10.0**decimals)
            values = whole.astype(np.int64)
        origin = int(values.min())
        distances = distances_between(values, origin)
        step = max(1, int(np.gcd.reduce(distances)))
        return cls(decimals, origin, step, int(distances.max()) // step)

    def steps_to(self, values: np.ndarray) -> np.ndarray:
        """Return the steps from the origin to integers, exact up to 2 ** 53.

        Integers that the type of those on the grid cannot hold are approximate.
        """
        if values.dtype.kind == "i" and self.is_unsigned:
            values = values.clip(0).astype(np.uint64)
        if values.dtype.kind == "f" or (values.dtype.kind == "u") > self.is_unsigned:
            return (values.astype(np.float64) - self.origin) / self.step
        distances = distances_between(values, self.origin)
        whole, rest = np.divmod(distances, np.uint64(self.step))
        return np.where(values < self.origin, -1, 1) * (whole + rest / self.step)

    def after(self, steps: np.ndarray) -> np.ndarray:
        """Return the integers that are so many whole steps from the origin.

        None lies beyond the largest value, which float64 may not tell from the next.
        """
        rounded = np.rint(steps).clip(0, None)
        is_last = rounded >= self.n_steps
        whole = np.where(is_last, 0, rounded).astype(np.uint64)
        whole[is_last] = self.n_steps
        origin = np.uint64(self.origin % 2**64)
        places = origin + np.uint64(self.step) * whole
        return places if self.is_unsigned else places.view(np.int64)

    @property
    def is_unsigned(self) -> bool:
        """Whether no int64 can hold the largest value."""
        return self.origin + self.n_steps * self.step >= 2**63


def distances_between(values: np.ndarray, origin: int) -> np.ndarray:
    """Distances of integers from one, which may need one bit more than they do."""
    differences = np.where(values < origin, origin - values, values - origin)
    return differences.view(np.uint64)


def is_rounded(values: np.ndarray, decimals: int) -> bool:
    """Whether no value has more decimal places, and all are exact in float64."""
    whole = np.rint(values.astype(np.float64) * 10.0**decimals)
    again = (whole / 10.0**decimals).astype(values.dtype)
    return bool((np.abs(whole) < 2**53).all() and (again == values).all())


@dataclass(frozen=True)
class NumberCodes:
    """The score of a number, and an indicator of missing cells, if there were any.

    `ends` are the scores of the bounds, if the scaler goes one way between them.
    Missing cells have the score of the median. Times, and integers that float64 cannot
    hold, are numbers of steps on their grid.
    """

    scaler: Any
    grid: Grid
    in_steps: bool
    is_integer: bool
    can_be_missing: bool
    low: float
    median: float
    high: float
    ends: tuple[float, float] | None

    @classmethod
    def of(
        cls, values: np.ndarray, missing: np.ndarray, is_time: bool, scaler: Any
    ) -> Self:
        """Codes of a column of numbers or times, of which not all are missing.

        The scaler is fitted here; None is for normal scores.
        """
        present = values[~missing]
        is_integer = values.dtype.kind in "iu"
        is_large = bool(np.abs(present.astype(np.float64)).max() >= 2**53)
        grid, in_steps = Grid.of(present), is_time or (is_integer and is_large)
        x = grid.steps_to(present) if in_steps else present.astype(np.float64)
        if scaler is not None and np.shape(scaler.fit_transform(x[:, None])) != (
            len(x),
            1,
        ):
            raise ValueError(f"{scaler} must make one column of one.")
        scaler = NormalScores.of(x) if scaler is None else scaler
        return cls(
            scaler=scaler,
            grid=grid,
            in_steps=in_steps,
            is_integer=is_integer,
            can_be_missing=bool(missing.any()),
            low=float(x.min()),
            median=float(np.median(x)),
            high=float(x.max()),
            ends=scores_of_bounds(scaler, x),
        )

    def suffixes(self) -> list[str]:
        """Return what the names of the codes add to that of the column."""
        return ["", "_missing"] if self.can_be_missing else [""]

    def unknown(self, values: np.ndarray, missing: np.ndarray) -> list[Any]:
        """Return the missing cell, if there should be none."""
        return [None] if missing.any() and not self.can_be_missing else []

    def encoded(self, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Return the scores, and 1 for missing cells."""
        x = self.grid.steps_to(values) if self.in_steps else values.astype(np.float64)
        scores = self.scaler.transform(np.where(missing, self.median, x)[:, None])
        return np.column_stack([scores, missing]) if self.can_be_missing else scores

    def decoded(self, codes: np.ndarray) -> Cells:
        """Return the values of scores that are nearest on the grid, within bounds."""
        missing = np.zeros(len(codes), dtype=bool)
        if self.can_be_missing:
            missing = codes[:, 1] > 0.5
        x = self._unscaled(codes[:, 0]).clip(self.low, self.high)
        grid = self.grid
        if self.in_steps:
            return grid.after(x), missing
        if grid.decimals is None:
            return x, missing
        unit = 10.0**grid.decimals
        values = grid.after((x * unit - grid.origin) / grid.step)
        return values if self.is_integer else values / unit, missing

    def _unscaled(self, scores: np.ndarray) -> np.ndarray:
        # The way back may lead nowhere beyond the scores of the bounds: powers end.
        x = np.full(len(scores), self.median)
        inside = np.ones(len(scores), dtype=bool)
        if self.ends is not None:
            low, high = self.ends
            is_nearer_low = np.abs(scores - low) < np.abs(scores - high)
            x = np.where(is_nearer_low, self.low, self.high)
            inside = (min(low, high) <= scores) & (scores <= max(low, high))
        if inside.any():
            with np.errstate(invalid="ignore"):
                found = self.scaler.inverse_transform(scores[inside, None])
            found = np.asarray(found)[:, 0]
            x[inside] = np.where(np.isnan(found), x[inside], found)
        return x


def scores_of_bounds(scaler: Any, x: np.ndarray) -> tuple[float, float] | None:
    """Scores of the smallest and the largest value, if those between lie between."""
    scores = np.asarray(scaler.transform(np.sort(x)[:, None]))[:, 0]
    steps = np.diff(scores)
    goes_one_way = (steps >= 0).all() or (steps <= 0).all()
    return (float(scores[0]), float(scores[-1])) if goes_one_way else None
