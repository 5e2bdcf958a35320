import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from skdeep.metrics import frechet_distance


def rows_with_moments(mean, covariance, n=50, seed=0):
    """Rows whose sample mean and covariance are exactly these."""
    mean, covariance = np.asarray(mean, dtype=float), np.asarray(covariance, float)
    noise = np.random.RandomState(seed).normal(size=(n, len(mean)))
    noise -= noise.mean(axis=0)
    white = np.linalg.qr(noise)[0] * np.sqrt(n - 1)
    variances, directions = np.linalg.eigh(covariance)
    root = np.sqrt(np.maximum(variances, 0))[:, np.newaxis] * directions.T
    return mean + white @ root


def random_covariance(d, rank, seed):
    factor = np.random.RandomState(seed).normal(size=(rank, d))
    return factor.T @ factor / rank


def reference(X, Y):
    """Take the formula as it is printed, with the square root of the product."""
    S, T = np.cov(X, rowvar=False), np.cov(Y, rowvar=False)
    root = sqrtm(S @ T)
    shift = X.mean(axis=0) - Y.mean(axis=0)
    return shift @ shift + np.trace(S + T - 2 * root).real


# closed forms


def test_worked_example_in_one_dimension():
    X, Y = [[0.0], [2.0]], [[3.0], [7.0]]  # variances 2 and 8, means 1 and 5
    assert frechet_distance(X, Y) == pytest.approx(16 + 2 + 8 - 2 * 4)


@pytest.mark.parametrize("n", [4, 50, 9000])
def test_commuting_covariances_differ_by_their_deviations(n):
    X = rows_with_moments([0, 0, 0], np.diag([1.0, 4.0, 9.0]), n, seed=0)
    Y = rows_with_moments([1, 0, -2], np.diag([4.0, 4.0, 25.0]), n, seed=1)
    expected = (1 + 4) + (1 - 2) ** 2 + 0 + (3 - 5) ** 2
    assert frechet_distance(X, Y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_two_dimensions_have_a_closed_form(seed):
    # Tr (S T)^(1/2) = sqrt(Tr S T + 2 sqrt(det S det T)) of 2 x 2 matrices.
    S, T = random_covariance(2, 3, seed), random_covariance(2, 3, seed + 10)
    X, Y = rows_with_moments([1, 2], S), rows_with_moments([0, 0], T, seed=1)
    dets = np.linalg.det(S) * np.linalg.det(T)
    root = np.sqrt(np.trace(S @ T) + 2 * np.sqrt(dets))
    expected = 5 + np.trace(S) + np.trace(T) - 2 * root
    assert frechet_distance(X, Y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [1, 5, 30])
def test_distance_equals_the_formula_with_a_matrix_square_root(d):
    X = rows_with_moments(np.arange(d), random_covariance(d, 2 * d, 0), 100)
    Y = rows_with_moments(np.zeros(d), random_covariance(d, 2 * d, 1), 80, seed=3)
    expected = reference(X, Y) if d > 1 else (X.std(ddof=1) - Y.std(ddof=1)) ** 2
    assert frechet_distance(X, Y) == pytest.approx(expected, rel=1e-9)


def test_directions_of_singular_covariances_that_do_not_meet_add_up():
    S, T = np.diag([1.0, 1.0, 0.0, 0.0]), np.diag([0.0, 0.0, 2.0, 0.0])
    X, Y = rows_with_moments(np.zeros(4), S), rows_with_moments(np.zeros(4), T, seed=1)
    assert frechet_distance(X, Y) == pytest.approx(4.0, rel=1e-10)


@pytest.mark.parametrize(("n_real", "n_sampled"), [(6, 7), (6, 400), (400, 6)])
def test_fewer_rows_than_columns_give_the_distance_of_their_moments(n_real, n_sampled):
    rng = np.random.RandomState(0)
    X, Y = rng.normal(size=(n_real, 40)), 2 * rng.normal(size=(n_sampled, 40)) + 1
    # A little of every direction makes the covariances regular, as the formula wants.
    S, T = (np.cov(F, rowvar=False) + 1e-9 * np.eye(40) for F in (X, Y))
    root = sqrtm(S @ T).real
    shift = X.mean(axis=0) - Y.mean(axis=0)
    expected = shift @ shift + np.trace(S + T - 2 * root)
    assert frechet_distance(X, Y) == pytest.approx(expected, rel=1e-4)


def test_large_samples_come_near_the_distance_of_their_distributions():
    rng = np.random.RandomState(0)
    X = rng.normal([0, 0], [1, 2], size=(20_000, 2))
    Y = rng.normal([1, 0], [3, 2], size=(30_000, 2))
    assert frechet_distance(X, Y) == pytest.approx(1 + 4, rel=0.03)


def test_distances_of_small_samples_are_too_large():
    X, Y = np.random.RandomState(0).normal(size=(2, 3000, 10))
    distances = [frechet_distance(X[:n], Y[:n]) for n in (5, 20, 100, 3000)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 10 > 0.1 > distances[-1]


# invariances


@pytest.fixture(scope="module")
def pair():
    X, _ = load_digits(return_X_y=True)
    return X[:700], X[700:] + np.random.RandomState(0).normal(size=X[700:].shape)


def test_equal_rows_in_any_order_have_distance_zero(pair):
    X, _ = pair
    scale = X.var(axis=0).sum()
    assert frechet_distance(X, X) <= 1e-10 * scale
    assert frechet_distance(X, X[::-1]) <= 1e-10 * scale


def test_distance_is_symmetric_and_blind_to_the_order_of_rows(pair):
    X, Y = pair
    distance = frechet_distance(X, Y)
    assert distance > 0
    assert frechet_distance(Y, X) == pytest.approx(distance)
    shuffled = np.random.RandomState(0).permutation(X)
    assert frechet_distance(shuffled, Y) == pytest.approx(distance)


def test_rotation_changes_nothing_and_a_factor_counts_squared(pair):
    X, Y = pair
    distance = frechet_distance(X, Y)
    rotation = np.linalg.qr(np.random.RandomState(0).normal(size=(64, 64)))[0]
    assert frechet_distance(X @ rotation, Y @ rotation) == pytest.approx(distance)
    assert frechet_distance(3 * X, 3 * Y) == pytest.approx(9 * distance)
    assert frechet_distance(X + 5, Y + 5) == pytest.approx(distance)


def test_one_constant_shift_counts_by_its_square_alone(pair):
    X, _ = pair
    assert frechet_distance(X, X + 3) == pytest.approx(64 * 9)


def test_distance_grows_with_noise(pair):
    X, _ = pair
    noise = np.random.RandomState(0).normal(size=X.shape)
    distances = [frechet_distance(X, X + s * noise) for s in (0.1, 1, 5)]
    assert distances == sorted(distances)
    assert distances[0] < 1 < distances[2]


# extremes


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e140])
def test_columns_of_any_scale_give_a_finite_distance(scale):
    X, Y = np.random.RandomState(0).normal(size=(2, 30, 3))
    distance = frechet_distance(scale * X, scale * Y)
    assert distance == pytest.approx(scale**2 * frechet_distance(X, Y), rel=1e-6)


def test_a_large_mean_does_not_drown_the_covariance():
    X = rows_with_moments([0, 0], np.eye(2), 100)
    Y = rows_with_moments([0, 0], 4 * np.eye(2), 100, seed=1)
    assert frechet_distance(X + 1e6, Y + 1e6) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_constant_rows_differ_by_their_means_alone(n):
    X, Y = np.zeros((n, 3)), np.ones((n, 3))
    assert frechet_distance(X, X) == 0.0
    assert frechet_distance(X, Y) == 3.0


def test_distance_is_a_python_float(pair):
    assert type(frechet_distance(*pair)) is float


# input


def test_sparse_rows_float32_and_images_give_the_same_distance(pair):
    X, Y = pair
    expected = frechet_distance(X, Y)
    assert frechet_distance(sparse.csr_array(X), sparse.csr_matrix(Y)) == pytest.approx(
        expected
    )
    assert frechet_distance(sparse.csr_array(X), Y) == pytest.approx(expected)
    in_float32 = frechet_distance(X.astype(np.float32), Y.astype(np.float32))
    assert in_float32 == pytest.approx(expected, rel=1e-5)
    images = X.reshape(-1, 1, 8, 8), Y.reshape(-1, 1, 8, 8)
    assert frechet_distance(*images) == pytest.approx(expected)


def test_fewer_sparse_rows_than_columns_are_taken(pair):
    X, Y = (F[:50] for F in pair)
    expected = frechet_distance(X, Y)
    found = frechet_distance(sparse.csr_array(X), sparse.csr_array(Y))
    assert found == pytest.approx(expected)


def test_features_of_a_transformer_and_of_a_function_are_compared(pair):
    X, Y = pair
    scaler = StandardScaler().fit(X)
    expected = frechet_distance(scaler.transform(X), scaler.transform(Y))
    assert frechet_distance(X, Y, features=scaler) == expected
    assert frechet_distance(X, Y, features=scaler.transform) == expected


@pytest.mark.parametrize("n", [(1, 5), (5, 1)])
def test_one_row_has_no_covariance_and_raises(n):
    X, Y = np.zeros((n[0], 2)), np.zeros((n[1], 2))
    with pytest.raises(ValueError, match=r"needs at least 2 rows of X_.*Got 1"):
        frechet_distance(X, Y)
