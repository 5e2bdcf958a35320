"""How the columns of a table are brought to the range in which networks train well."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import row_norms
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis

ALIKE = 10.0
"""Ratio of the deviations of two columns up to which they share one range."""

SELDOM = 0.1
"""Mean of a column above its start, over its range, if it mostly stays there."""

MANY = 32
"""Columns from which they are read as pixels or words rather than as measurements."""

CENTERED = 0.1
"""Mean of a column, in deviations, up to which it was centred before."""

STANDARDIZED = 1.01
"""Ratio of the deviations of centred columns up to which they were standardised."""

SAME_LENGTH = 1e-3
"""Share of the longest row by which rows of one length may differ."""

DIFFERENT = 0.01
"""Variance of rows of one length, over its square, from which they differ."""

N_WHITENED = 20
"""Principal components whose spreads `half_whitening` brings closer."""

MOST_WHITENED = 500
"""Columns up to which it does so: its cost grows with their square."""

SMALL_PART = 0.05
"""Of the variance, up to which categories hardly decide which rows are near."""

COARSE = 1e-3
"""Of the spread of a column, from which its rounding to float32 is too coarse: dates in
seconds, say, lie together many thousand times farther from zero than they spread."""

LARGEST_EXPONENT = 256
"""Powers of two between which columns are squared as they are."""

NEGLIGIBLE = 1e-9
"""Share of other columns in a whitened one, which is its own then."""

CHUNK = 4096
"""Rows that are read at once."""


@dataclass(frozen=True)
class ColumnStatistics:
    """Mean, variance, smallest and largest value of each column, in float64."""

    mean: np.ndarray
    variance: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    def __post_init__(self) -> None:
        # Sums round, of constants too: a large one would be far from its mean.
        constant = self.minimum == self.maximum
        self.mean[constant] = self.minimum[constant]
        self.variance[constant] = 0


def column_statistics(X: np.ndarray | sparse.csr_matrix) -> ColumnStatistics:
    """Statistics of the columns in one pass, a chunk of rows at a time."""
    if not isinstance(X, np.ndarray):
        # Squares of float32 over- and underflow, and scikit-learn keeps the type.
        entries = X.data.astype(np.float64, copy=False), X.indices, X.indptr
        exact = sparse.csr_matrix(entries, shape=X.shape, copy=False)
        found = *mean_variance_axis(exact, axis=0), *min_max_axis(X, axis=0)
        return ColumnStatistics(*(np.asarray(c, dtype=np.float64) for c in found))
    n = 0
    mean = squares = np.zeros(X.shape[1])
    minimum, maximum = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for start in range(0, len(X), CHUNK):
        chunk = np.ascontiguousarray(X[start : start + CHUNK], dtype=np.float64)
        m, chunk_mean = len(chunk), chunk.mean(axis=0)
        # Chan's update: sums of squares about the mean do not cancel as plain sums do.
        delta = chunk_mean - mean
        squares = squares + chunk.var(axis=0) * m + delta**2 * n * m / (n + m)
        mean = mean + delta * m / (n + m)
        n += m
        minimum = np.minimum(minimum, chunk.min(axis=0))
        maximum = np.maximum(maximum, chunk.max(axis=0))
    return ColumnStatistics(mean, squares / n, minimum, maximum)


def of_moderate_size(
    X: np.ndarray | sparse.csr_matrix,
) -> tuple[np.ndarray | sparse.csr_matrix, np.ndarray]:
    """Bring columns whose squares are no numbers to 1, by powers of two.

    Returns
    -------
    X : ndarray or CSR matrix
    exponents : ndarray of int of shape (n_features,)
        What each column was divided by two to the power of.
    """
    if isinstance(X, np.ndarray):
        lowest, highest = X.min(axis=0), X.max(axis=0)
    else:
        lowest, highest = min_max_axis(X, axis=0)
    largest = np.maximum(np.abs(lowest, dtype=float), np.abs(highest, dtype=float))
    exponents = np.frexp(largest)[1]
    exponents[np.abs(exponents) < LARGEST_EXPONENT] = 0
    if not exponents.any():
        return X, exponents
    if isinstance(X, np.ndarray):
        return np.ldexp(X, -exponents), exponents
    data = np.ldexp(X.data, -exponents[X.indices])
    return sparse.csr_matrix((data, X.indices, X.indptr), shape=X.shape), exponents


def columns_alike(columns: ColumnStatistics) -> bool:
    """Whether the spread of one column against another's carries meaning.

    It does for columns of 0 and 1 alone, for pixels and word weights, many columns that
    start at about one value, and for principal components, which are centred and were
    not standardised. Of the latter three, none spreads much more than the median one. A
    column may spread much less only if all start at the very same value and it seldom
    leaves that, as the border pixels of images and rare words do: a fraction in a table
    of other things is not like them.
    """
    varying = columns.maximum > columns.minimum
    if are_indicators(columns)[varying].all():
        return True
    deviation = np.sqrt(columns.variance[varying])
    floor = columns.minimum[varying]
    widest, usual, narrowest = deviation.max(), np.median(deviation), deviation.min()
    rise = (columns.mean - columns.minimum)[varying]
    stays = rise <= SELDOM * (columns.maximum - columns.minimum)[varying]
    is_narrow = usual > ALIKE * deviation
    centered = np.all(np.abs(columns.mean[varying]) <= CENTERED * deviation)
    are_components = centered and widest > STANDARDIZED * narrowest
    rarely_wide = np.all(floor == floor[0]) and stays[is_narrow].all()
    start_alike = len(columns.variance) >= MANY and np.ptp(floor) <= usual
    same_level = columns.mean[varying].std() <= ALIKE * usual
    return bool(
        (are_components or start_alike)
        and same_level
        and widest <= ALIKE * usual
        and (rarely_wide or not is_narrow.any())
    )


def share_a_unit(X: np.ndarray | sparse.csr_matrix, columns: ColumnStatistics) -> bool:
    """Whether all columns are in one unit, as they are alike or rows have one length.

    A column far from zero would give any rows about one length: they have to differ.
    """
    variance = columns.variance.sum()
    differ = variance > DIFFERENT * (variance + np.square(columns.mean).sum())
    return columns_alike(columns) or bool(differ and are_directions(X))


def fitted_scaling(
    X: np.ndarray | sparse.csr_matrix,
    scale: str | None,
    is_image: bool = False,
    columns: ColumnStatistics | None = None,
    has_codes: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Offset and scale of each column, to be used as :math:`(x - offset) / scale`.

    ========================  ===========================  ==========================
    `scale`                   offset                       scale
    ========================  ===========================  ==========================
    ``None``                  0                            1
    ``"standard"``            column mean                  column standard deviation
    ``"minmax"``              column minimum               column range
    ``"auto"``, images,       mean of all entries          standard deviation of all
    columns alike, and rows                                entries
    of one length
    ``"auto"``, else          column mean                  column standard deviation, 1
                                                           for columns of 0 and 1
    ========================  ===========================  ==========================

    With `has_codes`, columns of any two values are scaled as if they were 0 and 1: by
    their range.

    Returns
    -------
    offset, scale : ndarray of shape (n_features,), float64
        A column that does not vary has scale 1, or that of columns alike beside it.
        Outside of their range, it has itself for offset.
    """
    n_features = X.shape[1]
    if scale is None:
        return np.zeros(n_features), np.ones(n_features)
    columns = columns or column_statistics(X)
    spread = columns.maximum - columns.minimum
    if scale == "minmax":
        return columns.minimum, _where_varying(spread, spread)
    if scale == "auto" and (is_image or share_a_unit(X, columns)):
        alike = is_image | within_common_range(columns)
        mean = columns.mean[alike].mean()
        variance = columns.variance[alike].mean() + columns.mean[alike].var()
        spread = columns.maximum[alike].max() - columns.minimum[alike].min()
        common = _where_varying(np.sqrt(variance), spread)
        return np.where(alike, mean, columns.mean), np.full(n_features, common)
    deviation = _where_varying(np.sqrt(columns.variance), spread)
    if scale == "auto":
        # Two rows that differ in an indicator are then as far apart as two rows drawn
        # at random are in a measurement; a rare category does not weigh more.
        is_code = are_two_valued if has_codes else are_indicators
        deviation = np.where(is_code(columns), spread, deviation)
    return columns.mean, deviation


def within_common_range(columns: ColumnStatistics) -> np.ndarray:
    """Which columns lie in the range of those that vary; all if none does."""
    varying = columns.maximum > columns.minimum
    if not varying.any():
        return ~varying
    low, high = columns.minimum[varying].min(), columns.maximum[varying].max()
    return (columns.minimum >= low) & (columns.maximum <= high)


def constants_of(
    columns: ColumnStatistics, whitening: np.ndarray | None = None
) -> np.ndarray:
    """Value of each column that does not vary, NaN of all others.

    Columns that are mixed with others, by a whitening of rows in which they varied, are
    no constants of their own.
    """
    varies = columns.minimum < columns.maximum
    if whitening is not None:
        own = np.diag(whitening)
        others = np.abs(whitening).sum(axis=1) - np.abs(own)
        varies |= others > NEGLIGIBLE * np.abs(own)
    return np.where(varies, np.nan, columns.minimum)


def still_constant(
    X: np.ndarray | sparse.csr_matrix, constants: np.ndarray
) -> np.ndarray:
    """Constants of other rows that those of X have, too; NaN of all other columns."""
    held = np.flatnonzero(~np.isnan(constants))
    if not len(held):
        return constants
    # Rows of another type round what they have in common with the others.
    expected = constants.astype(X.dtype if X.dtype.kind == "f" else np.float64)
    if not isinstance(X, np.ndarray):
        lowest, highest = min_max_axis(X, axis=0)
        alike = (lowest == expected) & (highest == expected)
        return np.where(alike, constants, np.nan)
    alike = np.ones(len(held), dtype=bool)
    for start in range(0, len(X), CHUNK):
        alike &= (X[start : start + CHUNK][:, held] == expected[held]).all(axis=0)
    constants = constants.copy()
    constants[held[~alike]] = np.nan
    return constants


def half_whitening(
    X: np.ndarray | sparse.csr_matrix, offset: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    r"""Matrix that brings the spreads of the principal components closer.

    With :math:`C = V \mathrm{diag}(\lambda) V^\top` the covariance of the scaled
    columns and :math:`\lambda_1 \ge \lambda_2 \ge \dots`,

    .. math:: W \propto V \mathrm{diag} \big( \max(\lambda_j, \lambda_{20})^{-1/4} \big)
              V^\top

    so that scaled rows times W have components of deviation
    :math:`\propto \lambda_j^{1/4}`, half-way to whitened ones, but for those beyond the
    twentieth, which mostly hold noise. Each column remains the one nearest to itself,
    and W can be inverted. Its factor gives the columns a mean variance of 1.

    Returns
    -------
    ndarray of shape (n_features, n_features), float64, symmetric
    """
    n_rows, n_features = X.shape
    total, products = np.zeros(n_features), np.zeros((n_features, n_features))
    for start in range(0, n_rows, CHUNK):
        part = X[start : start + CHUNK]
        dense = part if isinstance(part, np.ndarray) else part.toarray()
        chunk = (dense.astype(np.float64) - offset) / scale
        total += chunk.sum(axis=0)
        products += chunk.T @ chunk
    mean = total / n_rows
    spreads, directions = np.linalg.eigh(products / n_rows - np.outer(mean, mean))
    least = max(spreads[-N_WHITENED:][0], 1e-5 * spreads[-1])
    if least <= 0:  # rows that do not differ
        return np.eye(n_features)
    factors = np.maximum(spreads, least) ** -0.25
    variance = (factors**2 * spreads.clip(0)).mean()
    return (directions * (factors / np.sqrt(variance))) @ directions.T


def are_indicators(columns: ColumnStatistics) -> np.ndarray:
    """Which columns hold zeros and ones alone, as those of encoded categories do."""
    mean = columns.mean
    bounded = (columns.minimum == 0) & (columns.maximum == 1)
    # x^2 = x for zeros and ones, so that the variance is mean (1 - mean); it is smaller
    # as soon as one value lies between.
    return bounded & np.isclose(columns.variance, mean * (1 - mean), atol=1e-9)


def are_two_valued(columns: ColumnStatistics) -> np.ndarray:
    """Which columns hold two values alone, as codes and scaled indicators do."""
    above, below = columns.mean - columns.minimum, columns.maximum - columns.mean
    # (x - min) (max - x) is zero then, and so is its mean; else that is positive.
    varies = columns.minimum < columns.maximum
    return varies & np.isclose(columns.variance, above * below, rtol=1e-6, atol=0)


def mixes_categories(X: np.ndarray | sparse.csr_matrix) -> bool:
    """Whether encoded categories stand beside measurements, and tell much of the rows.

    That is, columns of two values have more than a small part of the variance of the
    columns, as `fitted_scaling` scales them: others are standardised.
    """
    columns = column_statistics(X)
    if columns_alike(columns):
        return False
    categories = are_two_valued(columns)
    n_measured = np.sum(~categories & (columns.minimum < columns.maximum))
    ranges = (columns.maximum - columns.minimum)[categories]
    of_categories = np.square(np.sqrt(columns.variance[categories]) / ranges).sum()
    is_much = of_categories > SMALL_PART * (of_categories + n_measured)
    return bool(n_measured and is_much)


def are_directions(X: np.ndarray | sparse.csr_matrix) -> bool:
    """Whether all rows have one length, as weights of words mostly do, or none."""
    shortest, longest = np.inf, 0.0
    for start in range(0, X.shape[0], CHUNK):
        chunk = X[start : start + CHUNK].astype(np.float64)
        lengths = row_norms(chunk)
        lengths = lengths[lengths > 0]
        if len(lengths):
            shortest = min(shortest, lengths.min())
            longest = max(longest, lengths.max())
        if longest - shortest > SAME_LENGTH * longest:
            return False
    return True


def fitted_unit_scaling(
    X: np.ndarray | sparse.csr_matrix,
    scale: str | None,
    columns: ColumnStatistics | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale that bring X to [0, 1], where the cross-entropy is defined.

    ``"auto"`` leaves X as it is if it lies in [0, 1], and else maps all entries by
    the common range of the columns that vary; ``"minmax"`` maps each column.

    Raises
    ------
    ValueError
        If `scale` cannot bring X to [0, 1].
    """
    n_features = X.shape[1]
    columns = columns or column_statistics(X)
    if scale == "minmax":
        return fitted_scaling(X, scale, columns=columns)
    low, high = columns.minimum.min(), columns.maximum.max()
    if low >= 0 and high <= 1 and scale in ("auto", None):
        return np.zeros(n_features), np.ones(n_features)
    if scale == "auto":
        alike = within_common_range(columns)
        low, high = columns.minimum[alike].min(), columns.maximum[alike].max()
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        common = _where_varying(high - low, high - low)
        return np.where(alike, low, columns.mean), np.full(n_features, common)
    raise ValueError(
        f"The cross-entropy needs values in [0, 1], and scale={scale!r} does not bring "
        f"X there, whose values run from {low:.4g} to {high:.4g}. Use scale='auto' or "
        "'minmax', or squared errors instead of it (loss='squared_error' of an "
        "autoencoder, likelihood='gaussian' of a sampler)."
    )


def _where_varying(scale: np.ndarray, spread: np.ndarray) -> np.ndarray:
    # A range so small that its square is none is the scale itself; a constant has 1.
    return np.where(spread > 0, np.where(scale > 0, scale, spread), 1.0)


def in_units(
    X: np.ndarray,
    offset: np.ndarray,
    scale: np.ndarray,
    whitening: np.ndarray | None = None,
    constants: np.ndarray | None = None,
) -> np.ndarray:
    """Bring scaled float32 rows back to the units of the input, in place.

    Numbers beyond those of float32 become the largest that it has. Where it is too
    coarse for a column, or a column too small for it, the rows are in float64. Columns
    of `constants` get their value, which the way there and back would round.
    """
    if whitening is not None:
        inverse = np.linalg.inv(whitening).astype(X.dtype)
        for start in range(0, len(X), CHUNK):
            X[start : start + CHUNK] = X[start : start + CHUNK] @ inverse
    limits = np.finfo(np.float32)
    is_coarse = np.abs(offset) * limits.eps > COARSE * scale
    if np.any(is_coarse | (scale * limits.eps < limits.tiny)):
        X = X.astype(np.float64)
    with np.errstate(over="ignore"):
        X *= scale
        X += offset
    if constants is not None:
        held = np.flatnonzero(~np.isnan(constants))
        X[:, held] = constants[held].clip(-limits.max, limits.max)
    return np.clip(X, -limits.max, limits.max, out=X)
