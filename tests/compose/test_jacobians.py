"""The Jacobians of scikit-learn's transformers, against differences and integrals."""

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.special import expit, logit
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skdeep.compose._jacobians import (
    FUNCTIONS,
    OF_AFFINE,
    OF_CELLWISE,
    NoJacobianError,
    log_stretches,
)

rng = np.random.RandomState(0)
X = rng.randn(60, 3) @ rng.randn(3, 3) * [1, 10, 0.1] + [5, -3, 0.2]
POSITIVE = np.exp(X / X.std(axis=0))
UNIT = expit(X / X.std(axis=0))

MAPS = [
    (StandardScaler(), X),
    (StandardScaler(with_std=False), X),
    (MinMaxScaler((-2, 3)), X),
    (MaxAbsScaler(), X),
    (RobustScaler(), X),
    (RobustScaler(with_scaling=False), X),
    (RobustScaler(unit_variance=True), X),
    (PowerTransformer(), X),
    (PowerTransformer(standardize=False), X),
    (PowerTransformer("box-cox"), POSITIVE),
    (PowerTransformer("box-cox", standardize=False), POSITIVE),
    (QuantileTransformer(n_quantiles=20), X),
    (QuantileTransformer(n_quantiles=20, output_distribution="normal"), X),
    (PCA(), X),
    (PCA(whiten=True), X),
    (PCA(3, whiten=True, svd_solver="covariance_eigh"), X),
    (IncrementalPCA(), X),
    (IncrementalPCA(whiten=True), X),
    (FunctionTransformer(), X),
    (FunctionTransformer(np.log, np.exp), POSITIVE),
    (FunctionTransformer(np.log1p, np.expm1), POSITIVE),
    (FunctionTransformer(np.arcsinh, np.sinh), X),
    (FunctionTransformer(logit, expit), UNIT),
]

every_map = pytest.mark.parametrize(
    ("step", "rows"), MAPS, ids=[type(step).__name__ for step, _ in MAPS]
)


def log_abs_det_jacobian(step, rows):
    return log_stretches(step, rows).sum(axis=-1)


def differences(step, x, eps=1e-6):
    """Jacobian of the map at one row, by central differences."""
    width = eps * np.maximum(1, np.abs(x)) * np.eye(len(x))
    high, low = step.transform(x + width), step.transform(x - width)
    return ((high - low) / (2 * width.diagonal()[:, None])).T


@every_map
def test_log_determinant_is_that_of_numerical_differences(step, rows):
    step.fit(rows)
    # Between the rows: a map to quantiles bends at them.
    inside = (rows[1:11] + rows[11:21]) / 2
    found = np.broadcast_to(log_abs_det_jacobian(step, inside), len(inside))
    expected = [np.linalg.slogdet(differences(step, x))[1] for x in inside]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_every_map_that_is_known_is_tested():
    tested = {type(step) for step, _ in MAPS}
    assert {*OF_AFFINE, *OF_CELLWISE} == tested
    functions = {getattr(step, "func", None) for step, _ in MAPS}
    assert set(FUNCTIONS) <= functions


@every_map
def test_inverse_has_the_opposite_determinant(step, rows):
    step.fit(rows)
    x = (rows[1:2] + rows[2:3]) / 2
    z = step.transform(x)
    width = 1e-6 * np.eye(x.shape[1])
    high, low = step.inverse_transform(z + width), step.inverse_transform(z - width)
    inverse = np.linalg.slogdet((high - low) / 2e-6)[1]
    np.testing.assert_allclose(log_abs_det_jacobian(step, x), -inverse, atol=1e-5)


def test_lognormal_density_is_that_of_scipy():
    x = np.array([[0.5], [1.0], [4.0]])
    step = FunctionTransformer(np.log, np.exp).fit(x)
    found = stats.norm.logpdf(np.log(x[:, 0])) + log_abs_det_jacobian(step, x)
    np.testing.assert_allclose(found, stats.lognorm.logpdf(x[:, 0], 1))


def test_yeo_johnson_of_two_rows_by_hand():
    step = PowerTransformer(standardize=False).fit(X[:, :1])
    step.lambdas_[:] = 3.0
    # (x + 1)^2 above zero, and (1 - x)^-2 below.
    found = log_abs_det_jacobian(step, [[1.0], [-1.0]])
    np.testing.assert_allclose(np.exp(found), [4.0, 0.25])


def test_map_to_quantiles_gives_the_histogram_of_equal_parts():
    # Three equal parts between 0, 1, 3 and 7, and nothing outside.
    step = QuantileTransformer(n_quantiles=4).fit([[0.0], [1.0], [3.0], [7.0]])
    found = log_abs_det_jacobian(step, [[-1.0], [0.0], [0.5], [2.0], [6.0], [7.0], [8]])
    expected = [0, 1 / 3, 1 / 3, 1 / 6, 1 / 12, 1 / 12, 0]
    np.testing.assert_allclose(np.exp(found), expected)


@pytest.mark.parametrize("columns", ["normal", "uniform"])
def test_map_to_quantiles_is_finite_at_the_outermost_rows(columns):
    step = QuantileTransformer(n_quantiles=20, output_distribution=columns).fit(X)
    assert np.isfinite(log_abs_det_jacobian(step, X)).all()
    z = step.transform(X)
    log_density = stats.norm.logpdf(z).sum(1) if columns == "normal" else 0
    densities = log_density + log_abs_det_jacobian(step, X)
    uniform = QuantileTransformer(n_quantiles=20).fit(X)
    np.testing.assert_allclose(densities, log_abs_det_jacobian(uniform, X), atol=1e-5)


def test_constant_columns_add_nothing():
    constant = np.column_stack([X, np.full(len(X), 7.0)])
    for kind in [StandardScaler, MinMaxScaler, RobustScaler, PowerTransformer]:
        with_it = log_abs_det_jacobian(kind().fit(constant), constant)
        without = log_abs_det_jacobian(kind().fit(X), X)
        np.testing.assert_allclose(with_it, without)


def test_sparse_rows_count_like_dense_ones():
    counts = sparse.random(30, 4, density=0.3, random_state=0, format="csr")
    step = FunctionTransformer(np.log1p, np.expm1, accept_sparse=True)
    np.testing.assert_allclose(
        log_abs_det_jacobian(step, counts),
        log_abs_det_jacobian(step, counts.toarray()),
    )


def test_scale_in_float32_is_summed_in_float64():
    wide = np.tile(X[:, :1], (1, 500)).astype(np.float32)
    found = log_abs_det_jacobian(MaxAbsScaler().fit(wide), wide)
    assert found == pytest.approx(-500 * np.log(np.abs(wide[:, 0]).max()), rel=1e-6)


class Tripled(StandardScaler):
    def transform(self, X):
        return 3 * super().transform(X)


dependent = np.column_stack([X, X[:, 0] - X[:, 1]])


@pytest.mark.parametrize(
    ("step", "rows", "reason"),
    [
        (PCA(2), X, "keeps 2 of 3 dimensions.*n_components=None"),
        (PCA(), X[:2], "keeps 2 of 3 dimensions.*no more columns than rows"),
        (PCA(whiten=True), dependent, "depend on each other linearly.*Drop some"),
        (PCA(), dependent, "depend on each other linearly"),
        (IncrementalPCA(), np.column_stack([X, np.ones(60)]), "constant or depend"),
        (MinMaxScaler(clip=True), X, "clips.*Use clip=False"),
        (MaxAbsScaler(clip=True), X, "clips.*Use clip=False"),
        (
            QuantileTransformer(n_quantiles=9, output_distribution="normal"),
            1e-6 * X,
            "a range of .*e-0. in column 0.*Use larger numbers",
        ),
        (QuantileTransformer(n_quantiles=9), np.round(X), "equal values in column 2"),
        (QuantileTransformer(n_quantiles=1), X, "equal values in column 0"),
        (FunctionTransformer(np.square), X, "not known. Those of log, log1p, arcsinh"),
        (FunctionTransformer(np.log, kw_args={"where": True}), POSITIVE, "kw_args"),
        (TruncatedSVD(2), X, "no known Jacobian.*FunctionTransformer, Incremental"),
        (Tripled(), X, "no known Jacobian"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_map_without_a_density_says_why(step, rows, reason):
    step.fit(rows)
    with pytest.raises(NoJacobianError, match=reason):
        log_abs_det_jacobian(step, rows)
