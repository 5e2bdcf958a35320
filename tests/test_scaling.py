import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler, normalize

from skdeep.scaling import (
    CHUNK,
    MANY,
    N_WHITENED,
    are_directions,
    are_indicators,
    are_two_valued,
    column_statistics,
    columns_alike,
    fitted_scaling,
    fitted_unit_scaling,
    half_whitening,
    in_units,
    mixes_categories,
    still_constant,
)

DIGITS = load_digits().data


def normal(n, n_features, seed=0):
    return np.random.RandomState(seed).randn(n, n_features)


def centred(X):
    return X - X.mean(axis=0)


def words(n=300, n_features=80):
    """Sparse word weights: rare words spread less than frequent ones."""
    rng = np.random.RandomState(0)
    frequency = np.geomspace(0.5, 0.02, n_features)
    return (rng.rand(n, n_features) < frequency) * rng.rand(n, n_features)


def alike(X):
    return columns_alike(column_statistics(X))


def numpy_statistics(X):
    X = np.asarray(X, dtype=np.float64)
    return X.mean(axis=0), X.var(axis=0), X.min(axis=0), X.max(axis=0)


def fields(columns):
    return columns.mean, columns.variance, columns.minimum, columns.maximum


# statistics


@pytest.mark.parametrize("n", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_statistics_in_chunks_are_those_of_numpy(n):
    X = normal(n, 3) * [1, 1e-3, 1e3] + [0, 5, -200]
    found = fields(column_statistics(X))
    for value, expected in zip(found, numpy_statistics(X), strict=True):
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("offset", [1e6, 1e8, -1e8, 1e12])
def test_statistics_of_columns_far_from_zero_do_not_cancel(offset):
    step = np.random.RandomState(0).choice([-1.0, 1.0], size=(3 * CHUNK + 7, 2))
    X = offset + step
    columns = column_statistics(X)
    np.testing.assert_allclose(columns.mean - offset, step.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(columns.variance, step.var(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(columns.minimum, [offset - 1] * 2)
    np.testing.assert_array_equal(columns.maximum, [offset + 1] * 2)


def test_statistics_of_chunks_at_different_levels_are_those_of_numpy():
    X = np.sort(normal(3 * CHUNK, 2) * 1e4, axis=0)
    for value, expected in zip(
        fields(column_statistics(X)), numpy_statistics(X), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.uint8, np.int8, np.int16, np.int64, np.float32]
)
def test_statistics_do_not_overflow_the_type_of_the_input(dtype):
    X = np.random.RandomState(0).randint(-100, 100, size=(CHUNK + 9, 3)).astype(dtype)
    for value, expected in zip(
        fields(column_statistics(X)), numpy_statistics(X), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-10)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
def test_statistics_of_sparse_rows_are_those_of_the_dense_ones(kind, dtype):
    X = (10 * words(CHUNK + 100, 20) - 2 * words(CHUNK + 100, 20)).astype(dtype)
    X[:, 3] = 0
    dense, found = column_statistics(X), column_statistics(kind(X))
    for value, expected in zip(fields(found), fields(dense), strict=True):
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


def test_statistics_of_rows_on_disk_are_those_in_memory(tmp_path):
    X = normal(500, 3)
    mapped = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    for value, expected in zip(
        fields(column_statistics(mapped)), fields(column_statistics(X)), strict=True
    ):
        np.testing.assert_array_equal(value, expected)
        assert type(value) is np.ndarray


@pytest.mark.parametrize("value", [0.0, 0.5, 0.1, -1e8 / 3])
def test_column_that_does_not_vary_has_scale_one(value):
    n = 3 * CHUNK + 5
    X = np.column_stack([normal(n, 1) + 10, np.full(n, value)])
    for given in (X, X.astype(np.float32), sparse.csr_matrix(X)):
        for scale in ("standard", "auto", "minmax"):
            assert fitted_scaling(given, scale)[1][1] == 1


# columns alike


@pytest.mark.parametrize(
    "X",
    [
        DIGITS,
        DIGITS / 16,
        DIGITS.astype(np.uint8),
        words(),
        words() * 1000,
        normal(100, 64).clip(-2) + 3,
        PCA(10).fit_transform(DIGITS),
        centred(normal(200, 3)) * [5, 2, 1],
        np.ones((10, 5)),  # nothing varies
        np.ones((10, 5)) * np.arange(5),
        np.eye(3)[np.arange(200) % 199 % 3],
        (normal(200, 4) > [0, 0, 1, 2]) * 1.0,
    ],
    ids=[
        "digits",
        "digits in [0, 1]",
        "bytes",
        "words",
        "counts",
        "many alike",
        "PCA",
        "centred",
        "constant",
        "constants",
        "categories",
        "yes or no",
    ],
)
def test_columns_that_share_a_range_are_alike(X):
    assert alike(X) is True
    assert alike(sparse.csr_matrix(X)) is True


UNITS = np.geomspace(1e-3, 1e3, 40)


@pytest.mark.parametrize(
    "X",
    [
        load_iris().data,
        load_wine().data,
        load_breast_cancer().data,
        (normal(200, 40) + 1) * UNITS,  # many columns of different units
        np.hstack([normal(200, 39) + 1, 1e3 * normal(200, 1)]),  # one spreads more
        np.hstack([normal(200, 39) + 1, 1e-3 * normal(200, 1)]),  # one spreads less
        centred(normal(200, 4)) * [1, 1, 1, 1e3],  # one spreads more
    ],
    ids=[
        "iris",
        "wine",
        "cancer",
        "units",
        "one wide",
        "one narrow",
        "one wide, centred",
    ],
)
def test_columns_of_different_things_are_not_alike(X):
    assert alike(X) is False


def test_columns_at_levels_far_apart_share_no_range():
    X = normal(200, 40) + 1e4 * np.arange(40)
    assert alike(X) is False
    offset, scale = fitted_scaling(X, "auto")
    assert ((X - offset) / scale).std(axis=0).min() > 0.1


def test_few_columns_are_alike_only_if_centred():
    few, many = normal(200, MANY - 1).clip(-2), normal(200, MANY).clip(-2)
    assert alike(few + 1) is False
    assert alike(many + 1) is True
    assert alike(centred(few)) is True


def test_columns_that_start_far_apart_are_measurements():
    X = normal(200, 40).clip(-2)
    assert alike(X + np.linspace(0, 0.9, 40)) is True
    assert alike(X + np.linspace(0, 3, 40)) is False


def test_standardised_columns_are_measurements_and_components_are_not():
    X = load_iris().data
    assert alike(StandardScaler().fit_transform(X)) is False
    assert alike(PCA().fit_transform(X)) is True


def test_columns_that_spread_less_are_alike_if_they_start_at_one_value():
    X = DIGITS.copy()
    X[:, 10] *= np.arange(len(X)) % 50 == 0  # as a border pixel
    assert alike(X) is True
    X[:, 10] -= 1
    assert alike(X) is False


@pytest.mark.parametrize("as_matrix", [np.asarray, sparse.csr_matrix])
def test_fraction_beside_counts_that_start_at_zero_is_not_like_them(as_matrix):
    counts = np.random.RandomState(0).poisson(3, (800, 32)).astype(float)
    assert alike(as_matrix(counts)) is True
    counts[:, 5] = np.random.RandomState(1).rand(800) / 10
    counts[0, 5] = 0
    assert alike(as_matrix(counts)) is False


@pytest.mark.parametrize("as_matrix", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("value", [2024.0, -3.0])
def test_constant_outside_of_the_range_of_columns_alike_is_none_of_them(
    value, as_matrix
):
    X = np.random.RandomState(0).randint(2, size=(500, 5)).astype(float)
    wide = as_matrix(np.column_stack([X, np.full(500, value)]))
    for scaling in (lambda X: fitted_scaling(X, "auto"), unit_scaling):
        (offset, scale), (old_offset, old_scale) = scaling(wide), scaling(X)
        np.testing.assert_allclose(offset, [*old_offset, value])
        np.testing.assert_allclose(scale, [*old_scale, old_scale[0]])


def unit_scaling(X):
    return fitted_unit_scaling(X, "auto")


def test_constant_columns_do_not_count():
    for X in (DIGITS, load_iris().data):
        for value in (7.0, 0.1):  # the mean of many tenths is rounded
            constant = np.full((len(X), 3), value)
            assert alike(np.hstack([X, constant])) is alike(X)


@pytest.mark.parametrize("X", [DIGITS, load_iris().data, centred(normal(200, 3))])
def test_unit_and_order_do_not_matter(X):
    order = np.random.RandomState(0).permutation(X.shape[1])
    for factor in (1e-6, 1e6):
        assert alike(factor * X[:, order]) is alike(X)


# scaling: each line of the table


MIXED = normal(100, 3) * [1, 100, 1e-3] + [5, -7, 0.1]
PER_COLUMN = np.column_stack([MIXED, np.full(100, 4.0)])  # the last does not vary


CATEGORIES = np.eye(4)[
    np.random.RandomState(0).choice(4, 100, p=[0.9, 0.05, 0.03, 0.02])
]
TABLE = np.hstack([MIXED, CATEGORIES])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_automatic_scaling_of_unlike_columns_leaves_indicators_unscaled(dtype):
    X = TABLE.astype(dtype)
    for given in (X, sparse.csr_matrix(X)):
        offset, scale = fitted_scaling(given, "auto")
        np.testing.assert_allclose(offset, TABLE.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(scale[:3], MIXED.std(axis=0), rtol=1e-5)
        np.testing.assert_array_equal(scale[3:], np.ones(4))


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e9, 1e-140, 1e140])
def test_codes_of_two_values_are_scaled_as_indicators(unit):
    codes = unit * (1 + 2 * (normal(100, 4) > 0.5))
    X = np.hstack([MIXED, codes])
    for given in (X, sparse.csr_matrix(X)):
        offset, scale = fitted_scaling(given, "auto", has_codes=True)
        np.testing.assert_allclose(offset[3:], codes.mean(axis=0))
        np.testing.assert_allclose(scale[:3], MIXED.std(axis=0))
        np.testing.assert_allclose(scale[3:], 2 * unit)
        _, plain = fitted_scaling(given, "auto")
        np.testing.assert_allclose(plain[3:], codes.std(axis=0))


def test_standard_scaling_scales_indicators_too():
    _, scale = fitted_scaling(TABLE, "standard")
    np.testing.assert_allclose(scale, TABLE.std(axis=0))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (CATEGORIES[:, 0], True),
        (CATEGORIES[:, 3], True),
        (np.linspace(0, 1, 100), False),  # a fraction
        (np.where(np.arange(100) == 50, 0.5, CATEGORIES[:, 0]), False),
        (2 * CATEGORIES[:, 0], False),
        (CATEGORIES[:, 0] - 1, False),
        (np.zeros(100), False),
        (np.ones(100), False),
    ],
)
def test_indicators_hold_zeros_and_ones_alone(column, expected):
    X = column[:, np.newaxis]
    for given in (X, X.astype(np.float32), sparse.csr_matrix(X)):
        assert are_indicators(column_statistics(given)).tolist() == [expected]


def test_categories_beside_measurements_are_recognised_if_they_are_many():
    measured, towns = normal(300, 4), np.eye(3)[np.arange(300) % 3]
    mixed = np.hstack([measured, towns])
    assert mixes_categories(mixed)
    assert mixes_categories(sparse.csr_matrix(mixed))
    assert mixes_categories(np.hstack([measured, towns, np.ones((300, 1))]))
    assert not mixes_categories(np.hstack([normal(300, 20), towns]))
    assert not mixes_categories(towns)
    assert not mixes_categories(measured)
    assert not mixes_categories(DIGITS)


def test_codes_and_scaled_indicators_are_categories_too():
    measured, towns = normal(300, 3), np.random.RandomState(0).randint(2, size=(300, 2))
    for categories in (
        1 + towns,
        StandardScaler().fit_transform(towns),
        -1e3 * towns,
        1e-3 * towns,
    ):
        assert are_two_valued(column_statistics(categories)).all()
        mixed = np.hstack([measured, categories])
        for given in (mixed, mixed.astype(np.float32), sparse.csr_matrix(mixed)):
            assert mixes_categories(given)
    assert not mixes_categories(
        StandardScaler().fit_transform(np.hstack([towns, towns]))
    )
    assert not mixes_categories(np.hstack([normal(300, 40), 1 + towns]))
    thirds = np.random.RandomState(0).randint(3, size=(300, 1))
    almost = np.where(np.arange(300) == 7, 1.001, 1.0 + towns[:, 0])[:, None]
    for column in (thirds, almost, np.ones((300, 1)), measured[:, :1]):
        assert not are_two_valued(column_statistics(column)).any()


def test_booleans_are_indicators():
    X = CATEGORIES.astype(bool)
    for given in (X, sparse.csr_matrix(X)):
        assert are_indicators(column_statistics(given)).all()


def test_scale_none_is_the_identity():
    offset, scale = fitted_scaling(PER_COLUMN, None)
    np.testing.assert_array_equal(offset, np.zeros(4))
    np.testing.assert_array_equal(scale, np.ones(4))


@pytest.mark.parametrize("scale", ["standard", "auto"])
def test_standard_scaling_and_that_of_unlike_columns_standardises_each(scale):
    offset, found = fitted_scaling(PER_COLUMN, scale)
    np.testing.assert_allclose(offset, PER_COLUMN.mean(axis=0))
    np.testing.assert_allclose(found, [*MIXED.std(axis=0), 1.0])


def test_minmax_scaling_brings_each_column_to_the_unit_interval():
    offset, scale = fitted_scaling(PER_COLUMN, "minmax")
    np.testing.assert_allclose(offset, PER_COLUMN.min(axis=0))
    np.testing.assert_allclose(scale, [*np.ptp(MIXED, axis=0), 1.0])
    scaled = (PER_COLUMN - offset) / scale
    np.testing.assert_allclose(scaled.min(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.max(axis=0), [1, 1, 1, 0])


def test_automatic_scaling_of_columns_alike_maps_all_entries_by_one():
    offset, scale = fitted_scaling(DIGITS, "auto")
    assert offset.shape == scale.shape == (64,)
    np.testing.assert_allclose(offset, DIGITS.mean())
    np.testing.assert_allclose(scale, DIGITS.std())


def test_automatic_scaling_of_rows_of_one_length_maps_all_entries_by_one():
    X = normal(200, 5) * [9, 4, 2, 1, 0.5] + [9, 0, 0, 0, 0]
    assert alike(X) is alike(normalize(X)) is False
    _, scale = fitted_scaling(normalize(X), "auto")
    np.testing.assert_allclose(scale, normalize(X).std())
    assert np.ptp(fitted_scaling(X, "auto")[1]) > 0


def test_automatic_scaling_of_images_maps_all_entries_by_one():
    assert alike(MIXED) is False
    offset, scale = fitted_scaling(MIXED, "auto", is_image=True)
    np.testing.assert_allclose(offset, MIXED.mean())
    np.testing.assert_allclose(scale, MIXED.std())


@pytest.mark.parametrize("scale", ["standard", "minmax", None])
def test_other_scalings_do_not_look_for_images(scale):
    for found, expected in zip(
        fitted_scaling(MIXED, scale, is_image=True),
        fitted_scaling(MIXED, scale),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", ["auto", "standard", "minmax", None])
@pytest.mark.parametrize("is_image", [False, True])
def test_equal_rows_have_scale_one(scale, is_image):
    X = np.full((20, 3), 0.1)
    offset, found = fitted_scaling(X, scale, is_image=is_image)
    np.testing.assert_array_equal(found, np.ones(3))
    if scale is not None:
        np.testing.assert_allclose((X - offset) / found, 0, atol=1e-12)


@pytest.mark.parametrize("scale", ["auto", "standard", "minmax", None])
def test_scaling_of_one_row_is_finite(scale):
    for values in fitted_scaling(np.array([[3.0, -2.0, 1e6]]), scale):
        assert np.isfinite(values).all()
    assert (values > 0).all()


@pytest.mark.parametrize("scale", ["auto", "standard", "minmax", None])
@pytest.mark.parametrize(
    "X", [DIGITS, MIXED, words()], ids=["digits", "mixed", "words"]
)
def test_sparse_and_byte_rows_are_scaled_as_the_dense_ones(X, scale):
    expected = fitted_scaling(X, scale)
    for kind in (sparse.csr_matrix, sparse.csr_array):
        for found, value in zip(fitted_scaling(kind(X), scale), expected, strict=True):
            assert found.dtype == np.float64
            assert found.shape == (X.shape[1],)
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)


def test_columns_far_from_zero_are_standardised():
    X = 1e8 + np.random.RandomState(0).choice([-1.0, 1.0], size=(5000, 2))
    offset, scale = fitted_scaling(X, "auto")
    scaled = (X - offset) / scale
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-6)


# scaling to [0, 1]


UNIT = np.random.RandomState(0).rand(50, 3) * 0.5 + 0.25


@pytest.mark.parametrize("scale", ["auto", None])
@pytest.mark.parametrize(
    "X", [UNIT, np.eye(3), UNIT > 0.5], ids=["unit", "eye", "bool"]
)
def test_values_in_the_unit_interval_are_left_as_they_are(X, scale):
    for given in (X, sparse.csr_matrix(X)):
        offset, found = fitted_unit_scaling(given, scale)
        np.testing.assert_array_equal(offset, np.zeros(3))
        np.testing.assert_array_equal(found, np.ones(3))


@pytest.mark.parametrize("X", [DIGITS, MIXED, UNIT + 5, -UNIT])
def test_automatic_unit_scaling_maps_all_by_the_common_range(X):
    for given in (X, sparse.csr_matrix(X)):
        offset, scale = fitted_unit_scaling(given, "auto")
        np.testing.assert_array_equal(offset, np.full(X.shape[1], X.min()))
        np.testing.assert_allclose(scale, np.full(X.shape[1], np.ptp(X)))


def test_minmax_unit_scaling_is_that_of_each_column():
    for found, expected in zip(
        fitted_unit_scaling(PER_COLUMN, "minmax"),
        fitted_scaling(PER_COLUMN, "minmax"),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_unit_scaling_of_equal_rows_is_finite():
    offset, scale = fitted_unit_scaling(np.full((4, 2), 7.0), "auto")
    np.testing.assert_array_equal(offset, [7, 7])
    np.testing.assert_array_equal(scale, [1, 1])


@pytest.mark.parametrize(
    ("X", "scale", "values"),
    [
        (DIGITS, None, "run from 0 to 16"),
        (DIGITS, "standard", "run from 0 to 16"),
        (UNIT - 0.5, None, "run from -0.2"),
        (UNIT, "standard", "run from 0.2"),
    ],
)
def test_scale_that_does_not_reach_the_unit_interval_is_refused(X, scale, values):
    text = rf"needs values in \[0, 1\], and scale={scale!r} does not .*{values}"
    with pytest.raises(ValueError, match=text):
        fitted_unit_scaling(X, scale)
    with pytest.raises(ValueError, match="Use scale='auto' or 'minmax'"):
        fitted_unit_scaling(sparse.csr_matrix(X), scale)


# half-whitening


def correlated(n=400, n_features=6, seed=0):
    return normal(n, n_features, seed) @ normal(n_features, n_features, seed + 1)


def whitened(X):
    offset, scale = fitted_scaling(X, "standard")
    return (X - offset) / scale, half_whitening(X, offset, scale)


def test_half_whitened_components_have_the_root_of_their_deviation():
    scaled, W = whitened(correlated())
    spreads, directions = np.linalg.eigh(np.cov(scaled, rowvar=False, ddof=0))
    found = np.cov(scaled @ W, rowvar=False, ddof=0)
    expected = np.sqrt(spreads) / np.sqrt(spreads).mean()
    np.testing.assert_allclose(
        directions.T @ found @ directions, np.diag(expected), atol=1e-10
    )


def test_half_whitening_by_hand():
    # Two columns of correlation .6 spread by 1.6 and .4 along the diagonals.
    root = np.linalg.cholesky([[1, 0.6], [0.6, 1]])
    X = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) @ root.T
    W = half_whitening(X, np.zeros(2), np.ones(2))
    along, across = np.array([1.6, 0.4]) ** -0.25
    mean = (np.sqrt(1.6) + np.sqrt(0.4)) / 2
    expected = np.array(
        [[along + across, along - across], [along - across, along + across]]
    )
    np.testing.assert_allclose(W, expected / 2 / np.sqrt(mean))


def test_half_whitening_is_symmetric_and_has_an_inverse():
    X = np.hstack([correlated(), np.full((400, 1), 3.0)])  # the last does not vary
    scaled, W = whitened(X)
    np.testing.assert_allclose(W, W.T)
    offset, scale = fitted_scaling(X, "standard")
    back = in_units((scaled @ W).astype(np.float32), offset, scale, W)
    np.testing.assert_allclose(back, X, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("mean", "kind"), [(1e3, np.float32), (1.7e9, np.float64)])
def test_columns_far_from_zero_come_back_as_fine_as_they_were(mean, kind):
    X = mean + normal(500, 2)
    offset, scale = fitted_scaling(X, "standard")
    back = in_units(((X - offset) / scale).astype(np.float32), offset, scale)
    assert back.dtype == kind
    np.testing.assert_allclose(back, X, rtol=0, atol=1e-3)


def test_components_beyond_the_twentieth_keep_their_share():
    spreads = 0.8 ** np.arange(30)
    X = PCA(whiten=True).fit_transform(normal(500, 30)) * np.sqrt(spreads)
    W = half_whitening(X, np.zeros(30), np.ones(30))
    found = (X @ W).std(0)
    expected = np.sqrt(spreads) * np.maximum(spreads, spreads[N_WHITENED - 1]) ** -0.25
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-6)


@pytest.mark.parametrize("n", [1, 5, CHUNK + 3])
def test_half_whitening_of_sparse_rows_is_that_of_the_dense_ones(n):
    X = np.round(normal(n, 4))
    offset, scale = fitted_scaling(X, "standard")
    dense = half_whitening(X, offset, scale)
    assert np.isfinite(dense).all()
    np.testing.assert_allclose(
        half_whitening(sparse.csr_matrix(X), offset, scale), dense
    )


def test_half_whitening_of_equal_rows_is_the_identity():
    X = np.ones((5, 3))
    np.testing.assert_array_equal(half_whitening(X, np.ones(3), np.ones(3)), np.eye(3))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("unit", [1e-35, 1e-25, 1e20, 1e37])
def test_squares_of_float32_neither_over_nor_underflow(kind, unit):
    X = (unit * normal(50, 3)).astype(np.float32)
    _, scale = fitted_scaling(kind(X), "standard")
    np.testing.assert_allclose(scale, X.astype(np.float64).std(axis=0), rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("scale", ["auto", "standard"])
def test_large_constant_is_its_own_offset(kind, scale):
    X = np.column_stack([normal(1001, 2), np.full(1001, 1.7e18 + 256)])
    offset, deviations = fitted_scaling(kind(X), scale)
    assert offset[2] == X[0, 2]
    assert deviations[2] == 1


def test_range_whose_square_is_none_is_the_scale():
    X = 1e-200 * normal(50, 3)
    offset, scale = fitted_scaling(X, "standard")
    assert ((X - offset) / scale).std(axis=0).min() > 0.1


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_constants_hold_as_long_as_no_row_differs(kind):
    constants = np.array([1.0, 0.0, np.nan, 0.0])
    X = np.tile([1.0, 0.0, 3.0, 0.0], (2 * CHUNK, 1))
    np.testing.assert_array_equal(still_constant(kind(X), constants), constants)
    third = np.full((3, 4), [1 / 3, 0, 1, 0], dtype=np.float32)
    rounded = still_constant(kind(third), np.array([1 / 3, 0, np.nan, np.nan]))
    np.testing.assert_array_equal(rounded, [1 / 3, 0, np.nan, np.nan])
    X[-1, 3] = 1e-9
    left = still_constant(kind(X), constants)
    np.testing.assert_array_equal(left, [1.0, 0.0, np.nan, np.nan])
    assert constants[3] == 0


# directions


def test_rows_of_one_length_are_directions():
    X = normal(2 * CHUNK, 3)
    assert are_directions(X) is False
    assert are_directions(normalize(X)) is True
    assert are_directions(sparse.csr_matrix(normalize(X))) is True
    empty = normalize(X)
    empty[::7] = 0  # texts without known words
    assert are_directions(empty) is True
    empty[-1] = 2
    assert are_directions(empty) is False


def test_lengths_of_bytes_do_not_overflow():
    X = np.array([[16, 0], [0, 16], [0, 0]], dtype=np.uint8)
    assert are_directions(X) is True
    assert are_directions(X + np.uint8(1)) is False


def test_rows_of_tiny_units_come_back():
    X = 1e-50 * np.random.RandomState(0).randn(20, 3)
    offset, scale = fitted_scaling(X, "standard")
    back = in_units(((X - offset) / scale).astype(np.float32), offset, scale)
    np.testing.assert_allclose(back, X, rtol=1e-4, atol=1e-56)
