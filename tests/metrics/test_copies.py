import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from skdeep.metrics import closest_record_share, novelty_score, uniqueness_score
from skdeep.metrics._tables import comparable_tables


@pytest.fixture
def mixed():
    return pd.DataFrame(
        {
            "age": [20, 30, 20, 20],
            "city": ["Bonn", "Ulm", "Bonn", "Ulm"],
            "size": pd.Categorical(["S", None, "S", None]),
            "since": pd.to_datetime(["2020-01-01", None, "2020-01-01", None]),
            "debt": [0.1, np.nan, 0.1, np.nan],
            "count": pd.array([1, None, 1, None], dtype="Int64"),
        }
    )


# uniqueness


def test_worked_examples_of_uniqueness():
    assert uniqueness_score([[1, 2], [1, 2], [2, 1], [1, 2]]) == 0.5
    assert uniqueness_score([[1.0, np.nan], [1.0, np.nan]]) == 0.5
    assert uniqueness_score([[0.0], [-0.0]]) == 0.5
    assert uniqueness_score([["a", "b"], ["a", "c"]]) == 1.0
    assert uniqueness_score([[5.0]]) == 1.0


def test_uniqueness_of_columns_of_all_types(mixed):
    assert uniqueness_score(mixed) == 3 / 4
    assert uniqueness_score(pl.from_pandas(mixed)) == 3 / 4
    assert uniqueness_score(mixed.to_numpy()) == 3 / 4


def test_uniqueness_of_sparse_rows_ignores_how_they_are_stored():
    X = np.array([[0, 1.0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0, 0], [0, 0, 0]])
    rows = sparse.csr_matrix(X)
    rows.data[0] = 0.0  # stored, in the first row
    X[0, 1] = 0.0
    assert uniqueness_score(rows) == uniqueness_score(X) == 3 / 5
    assert rows.nnz == 3


@pytest.mark.parametrize("n_distinct", [1, 10, 500])
def test_uniqueness_counts_planted_repetitions(n_distinct):
    X = np.random.RandomState(0).normal(size=(n_distinct, 30))
    repeated = X[np.arange(500) % n_distinct]
    assert uniqueness_score(repeated) == n_distinct / 500
    assert uniqueness_score(repeated.reshape(500, 2, 3, 5)) == n_distinct / 500


# novelty


def test_worked_examples_of_novelty():
    X = [[0.0, 0.0], [3.0, 4.0]]
    assert novelty_score(X, [[0.0, 0.0], [3.0, 4.0], [3.0, 3.0], [9.0, 9.0]]) == 0.5
    assert novelty_score(X, [[0.0, 0.0], [3.0, 3.0]], tolerance=1.0) == 0.0
    assert novelty_score(X, [[0.0, 0.0], [3.0, 3.0]], tolerance=0.99) == 0.5


def test_a_sampler_of_training_rows_has_no_novelty():
    X = np.random.RandomState(0).normal(size=(200, 5))
    copies = X[np.random.RandomState(1).randint(200, size=300)]
    assert novelty_score(X, copies) == 0.0
    assert novelty_score(X, copies + 1e-9) == 1.0
    assert novelty_score(X, copies + 1e-9, tolerance=1e-8) == 0.0


@pytest.mark.parametrize("n_features", [2, 20, 200])
def test_novelty_with_a_tolerance_equals_that_of_a_loop(n_features):
    X, Y = np.random.RandomState(0).normal(size=(2, 40, n_features))
    nearest = [min(np.linalg.norm(x - y) for x in X) for y in Y]
    for tolerance in np.quantile(nearest, [0.2, 0.5, 0.9]) + 1e-9:
        expected = np.mean([d > tolerance for d in nearest])
        assert novelty_score(X, Y, tolerance=tolerance) == pytest.approx(expected)


@pytest.mark.parametrize("offset", [0, 1e6])
def test_copies_are_at_distance_zero_wherever_they_are(offset):
    X = np.random.RandomState(0).normal(size=(100, 30)) + offset
    assert novelty_score(X, X[::-1], tolerance=1e-300) == 0.0


def test_float32_copies_of_float64_rows_are_copies(mixed):
    X = np.random.RandomState(0).normal(size=(50, 4))
    assert novelty_score(X, X.astype(np.float32)) == 0.0
    assert novelty_score(X, X.astype(np.float32) + np.float32(1e-3)) == 1.0
    sampled = mixed.astype({"debt": np.float32})
    assert novelty_score(mixed, sampled) == 0.0
    rows = sparse.csr_array(X)
    assert novelty_score(rows, rows.astype(np.float32)) == 0.0


def test_novelty_of_columns_of_all_types(mixed):
    sampled = mixed.copy()
    sampled["city"] = ["Bonn", "Bonn", "Bonn", "Berlin"]
    assert novelty_score(mixed, sampled) == 0.5
    assert novelty_score(mixed, sampled[mixed.columns[::-1]]) == 0.5
    assert novelty_score(pl.from_pandas(mixed), pl.from_pandas(sampled)) == 0.5
    kind = pa.Table.from_pandas
    assert novelty_score(kind(mixed), kind(sampled)) == 0.5


def test_dates_of_other_units_are_equal():
    days = pd.to_datetime(["2020-01-01", "2021-05-05"])
    one = pd.DataFrame({"day": days.astype("datetime64[ns]")})
    other = pd.DataFrame({"day": days.astype("datetime64[s]")})
    assert novelty_score(one, other) == 0.0


def test_moments_a_few_nanoseconds_apart_are_distinct():
    moments = pd.date_range("2024-05-01", periods=30, freq="100ns")
    one = pd.DataFrame({"at": moments})
    assert uniqueness_score(one) == 1.0
    assert novelty_score(one + pd.Timedelta("50ns"), one) == 1.0
    assert novelty_score(one.sample(frac=1, random_state=0), one) == 0.0


def test_dates_that_nanoseconds_do_not_reach_keep_their_order():
    days = ["1600-01-01", "2020-05-05", "2300-01-01", "9999-12-31"]
    far = pd.DataFrame({"day": np.array(days, dtype="datetime64[us]")})
    near = pd.DataFrame({"day": pd.date_range("2020", periods=2).astype("M8[ns]")})
    for zone in (None, "UTC"):
        tables = [table.day.dt.tz_localize(zone).to_frame() for table in (far, near)]
        named = dict(zip(("X", "Y"), tables, strict=True))
        (found, others), _ = comparable_tables(named)
        assert (np.diff(found[:, 0]) > 0).all()
        assert (found[0, 0] < others).all()
        assert (others < found[1, 0]).all()


@pytest.mark.parametrize(
    "dtype", ["datetime64[us, Europe/Paris]", "timestamp[us, tz=UTC][pyarrow]"]
)
def test_dates_of_a_time_zone_are_equal_in_all_packages(dtype):
    days = pd.Series(pd.to_datetime(["2020-01-01", None, "2021-05-05"], utc=True))
    one = pd.DataFrame({"day": days.astype(dtype)})
    lima = pd.DataFrame({"day": days.dt.tz_convert("America/Lima")})
    other = pl.from_pandas(lima)
    for sampled in (one, lima, other, pl.from_pandas(one)):
        assert novelty_score(one, sampled) == 0.0
        assert novelty_score(sampled, one) == 0.0
    assert novelty_score(one[:1], other) == pytest.approx(2 / 3)


def test_novelty_of_features():
    X, Y = [[1.0, 5.0]], [[1.0, 7.0], [2.0, 5.0]]
    assert novelty_score(X, Y) == 1.0
    assert novelty_score(X, Y, features=lambda X: np.asarray(X)[:, :1]) == 0.5


def test_novelty_of_sparse_rows():
    X = np.random.RandomState(0).poisson(0.3, size=(60, 8)).astype(float)
    Y = np.random.RandomState(1).poisson(0.3, size=(50, 8)).astype(float)
    for tolerance in (0, 1.0, 1.5):
        expected = novelty_score(X, Y, tolerance=tolerance)
        rows = sparse.csr_array(X), sparse.csr_matrix(Y)
        assert novelty_score(*rows, tolerance=tolerance) == expected
        assert 0 < expected < 1


def test_text_is_no_missing_cell_whatever_it_says():
    for text in ("nan", "None", "<NA>", "NaT"):
        assert novelty_score([[text], ["a"]], [[None], ["a"]]) == 0.5
        assert novelty_score([[text], ["a"]], [[text], [None]]) == 0.5


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("dtype", ["text", "categories"])
def test_text_that_looks_like_numbers_is_text(kind, dtype):
    def table(*cells):
        frame = kind({"id": cells})
        if dtype == "text":
            return frame
        if kind is pl.DataFrame:
            return frame.cast(pl.Categorical)
        return frame.astype("category")

    real = table("12345678901234567890", "007")
    assert novelty_score(real, table("12345678901234567891", "7")) == 1.0
    assert novelty_score(real, real) == 0.0
    for cells in (["01", "1", "1.0", "1e0"], ["nan", "NaN"], ["inf", "1"]):
        assert uniqueness_score(table(*cells)) == 1.0


def test_text_is_no_number_beside_one():
    numbers, text = (np.array([[a], [b]], object) for a, b in ([1, 2], ["1", "2"]))
    assert novelty_score(numbers, text) == 1.0
    assert novelty_score(numbers, np.array([[1.0], ["2"]], object)) == 0.5


def test_days_of_arrow_are_dates():
    days = pd.Series(pd.to_datetime(["2020-01-01", None, "2021-05-05"]))
    one, other = (
        pd.DataFrame({"day": days.astype(dtype)})
        for dtype in ("date32[pyarrow]", "datetime64[s]")
    )
    assert uniqueness_score(one) == 1.0
    assert novelty_score(one, other) == novelty_score(other, one) == 0.0


@pytest.mark.parametrize("fill", [0, np.nan])
def test_sparse_columns_of_frames_are_read(fill):
    dense = pd.DataFrame({"a": ["x", "y", "x"], "b": [fill, 0.0, 5.0]})
    column = pd.arrays.SparseArray(dense["b"], fill_value=fill)
    found = dense.assign(b=column)
    assert found["b"].dtype != dense["b"].dtype
    assert uniqueness_score(found) == uniqueness_score(dense)
    assert novelty_score(found, dense) == novelty_score(dense, found) == 0.0


def test_numbers_beside_text_in_lists_stay_numbers():
    assert uniqueness_score([["a", 1], ["a", 1.0], ["01", 2], ["1", 2]]) == 0.75
    assert uniqueness_score([["a", None], ["a", np.nan]]) == 0.5
    assert uniqueness_score([["a", 2**60], ["a", 2**60 + 1]]) == 1.0


def test_large_integers_differ_by_one():
    sampled, train = np.array([[2**60], [5]]), np.array([[2**60 + 1], [5]])
    assert novelty_score(sampled, train) == 0.5
    assert uniqueness_score(np.vstack([sampled, train])) == 0.75


@pytest.mark.parametrize(
    "frame",
    [
        lambda cells: pd.DataFrame({"id": pd.array(cells, dtype="Int64")}),
        lambda cells: pd.DataFrame({"id": pd.array(cells, dtype="int64[pyarrow]")}),
        lambda cells: pl.DataFrame({"id": cells}),
        lambda cells: pa.table({"id": cells}),
    ],
    ids=["pandas", "pandas of arrow", "polars", "arrow"],
)
def test_large_integers_differ_by_one_beside_missing_cells(frame):
    first = 2**60
    assert uniqueness_score(frame([first, first + 1, first + 2, None])) == 1.0
    assert novelty_score(frame([first, None]), frame([first + 2, None])) == 0.5
    assert novelty_score(frame([first, None, 5]), frame([first, 5])) == 0.0
    assert novelty_score(frame([first, 5]), frame([5, None])) == 0.5


def test_large_numbers_are_equal_in_all_formats():
    numbers = np.array([[2**53 + 2], [2**53 + 4]])
    assert novelty_score(numbers, numbers.astype(np.float64)) == 0.0


@pytest.mark.parametrize("tolerance", [-1, np.inf, np.nan, "0", None])
def test_tolerances_out_of_range_raise(tolerance):
    with pytest.raises(ValueError, match="'tolerance' parameter"):
        novelty_score([[0.0]], [[0.0]], tolerance=tolerance)


# closest records


@pytest.fixture
def rows():
    return np.random.RandomState(0).normal(size=(3, 400, 3))


def test_a_worked_example_of_closest_records():
    X, holdout = [[0.0], [10.0]], [[1.0], [20.0]]
    sampled = [[0.2], [0.9], [0.5], [9.0], [30.0]]
    # nearer to training, to the hold-out, to both alike, to training, to the hold-out
    assert closest_record_share(X, sampled, holdout) == pytest.approx(2.5 / 5)


def test_fresh_rows_are_as_near_to_held_out_rows(rows):
    train, sampled, holdout = rows
    share = closest_record_share(train, sampled, holdout)
    assert share == pytest.approx(0.5, abs=0.06)


def test_copies_are_nearer_to_training_rows(rows):
    train, _, holdout = rows
    assert closest_record_share(train, train, holdout) == 1.0
    assert closest_record_share(train, holdout, holdout) == 0.0
    assert closest_record_share(train, train, train) == 0.5


def test_a_density_that_is_too_narrow_learns_by_heart(rows):
    train, _, holdout = rows
    shares = [
        closest_record_share(
            train,
            KernelDensity(bandwidth=h).fit(train).sample(400, random_state=0),
            holdout,
        )
        for h in (0.01, 0.1, 1.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.95
    assert shares[2] < 0.6


@pytest.mark.parametrize(("n_train", "n_holdout"), [(400, 50), (50, 400), (399, 100)])
def test_training_and_held_out_rows_compete_in_equal_numbers(rows, n_train, n_holdout):
    train, sampled, holdout = rows
    share = closest_record_share(train[:n_train], sampled, holdout[:n_holdout])
    assert share == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("n_holdout", [1, 30, 400])
def test_copies_are_seen_however_few_rows_are_held_out(rows, n_holdout):
    train, sampled, holdout = rows
    holdout = holdout[:n_holdout]
    assert closest_record_share(train, train, holdout) == 1.0
    if n_holdout > 1:
        half = np.concatenate([train, sampled])
        share = closest_record_share(train, half, holdout)
        assert share == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("n_values", [2, 40, None])
def test_fresh_rows_have_a_half_on_average_whatever_the_numbers_of_rows(n_values):
    def fresh(n_rows):
        X = rng.normal(size=(n_rows, 2))
        return X if n_values is None else np.floor(n_values * X)

    rng = np.random.RandomState(0)
    shares = [closest_record_share(fresh(50), fresh(60), fresh(10)) for _ in range(40)]
    error = np.std(shares) / len(shares) ** 0.5
    assert np.mean(shares) == pytest.approx(0.5, abs=3 * error)


def test_equal_rows_count_by_their_numbers():
    X, holdout = [[0.0], [0.0], [0.0], [9.0]], [[0.0], [9.0]]
    # A quarter of the zeros is held out, and a half of the nines, of a third of all.
    assert closest_record_share(X, [[0.0]], holdout) == pytest.approx(1 - 0.25 * 1.5)
    assert closest_record_share(X, [[9.0]], holdout) == pytest.approx(1 - 0.5 * 1.5)


def test_units_and_features_decide_what_is_near(rows):
    train, sampled, holdout = rows * [1, 1, 1000]
    plain = closest_record_share(train, sampled, holdout)
    scaler = StandardScaler().fit(train)
    scaled = closest_record_share(train, sampled, holdout, features=scaler)
    expected = closest_record_share(*map(scaler.transform, (train, sampled, holdout)))
    assert scaled == expected != plain


def test_sparse_rows_have_the_same_share(rows):
    train, sampled, holdout = rows.clip(0)
    expected = closest_record_share(train, sampled, holdout)
    found = closest_record_share(*map(sparse.csr_array, rows.clip(0)))
    assert found == pytest.approx(expected)
    mixed = closest_record_share(sparse.csr_array(train), sampled, holdout)
    assert mixed == pytest.approx(closest_record_share(train, sampled, holdout))


def test_held_out_rows_with_other_columns_raise(rows):
    train, sampled, holdout = rows
    with pytest.raises(ValueError, match=r"X_real, X_sampled, X_holdout.* 3, 3, 2"):
        closest_record_share(train, sampled, holdout[:, :2])
    with pytest.raises(ValueError, match="X_holdout contains NaN"):
        closest_record_share(train, sampled, np.full_like(holdout, np.nan))


def test_shares_and_scores_are_python_floats(rows):
    train, sampled, holdout = rows
    assert type(uniqueness_score(train)) is float
    assert type(novelty_score(train, sampled)) is float
    assert type(novelty_score(train, sampled, tolerance=1.0)) is float
    assert type(closest_record_share(train, sampled, holdout)) is float


@pytest.mark.parametrize(
    ("unit", "dtype"),
    [(1e-35, "f4"), (1e-22, "f4"), (1e20, "f4"), (1e-300, "f8"), (1e160, "f8")],
)
def test_distances_are_right_in_any_unit(unit, dtype):
    rng = np.random.RandomState(0)
    real, sampled, held_out = rng.rand(60, 3), rng.rand(40, 3), rng.rand(60, 3)

    def scores(unit):
        tables = [(unit * X).astype(dtype) for X in (real, sampled, held_out)]
        novelty = novelty_score(*tables[:2], tolerance=0.15 * unit)
        return novelty, closest_record_share(*tables)

    assert scores(unit) == scores(1.0)
    assert 0 < min(scores(1.0)) < max(scores(1.0)) < 1


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_row_far_out_does_not_hide_distances_of_others(kind):
    rng = np.random.RandomState(0)
    real = rng.rand(60, 3)
    sampled = real[1:] + 1e-3
    real[0] = 1e170
    assert novelty_score(kind(real), kind(sampled), tolerance=1e-4) == 1
    assert novelty_score(kind(real), kind(sampled), tolerance=1e-2) == 0
