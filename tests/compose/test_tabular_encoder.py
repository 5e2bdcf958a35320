"""The encoder of mixed tables, and its way back."""

import datetime as dt
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skops.io
from polars.testing import assert_frame_equal as assert_polars_equal
from scipy import stats
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    PowerTransformer,
    StandardScaler,
)

import skdeep.io
from skdeep import DECClusterer, FlowSampler, VAESampler
from skdeep.callbacks import EarlyStopping
from skdeep.compose import TabularEncoder, make_sampler_pipeline
from skdeep.compose._column_codes import Grid, NormalScores
from tests.estimators import SMALL

rng = np.random.RandomState(0)
N = 60


def gaps(values, dtype=None):
    """Values, about a fifth of them missing."""
    return pd.Series(values, dtype=dtype).mask(rng.rand(len(values)) < 0.2)


DAYS = pd.date_range("2020-02-27", periods=N, freq="D")

COLUMNS = {
    "int64": rng.randint(0, 99, N),
    "int8": rng.randint(-9, 9, N).astype(np.int8),
    "uint8": rng.randint(0, 255, N).astype(np.uint8),
    "beyond float64": 2**60 + rng.randint(0, 99, N),
    "largest": np.full(N, np.iinfo(np.int64).max),
    "smallest and largest": rng.choice([-(2**63), 0, 2**63 - 1], N),
    "float64": rng.randn(N).round(9),
    "cents": rng.randn(N).round(2),
    "float32": rng.randn(N).astype(np.float32),
    "float32 cents": rng.randn(N).round(2).astype(np.float32),
    "float with gaps": gaps(rng.randn(N).round(3)),
    "Int64": gaps(rng.randint(0, 9, N), "Int64"),
    "Float32": gaps(rng.randn(N).round(2), "Float32"),
    "spike": np.where(rng.rand(N) < 0.9, 0, rng.randint(1, 10**6, N)),
    "bool": rng.rand(N) < 0.5,
    "boolean": gaps(rng.rand(N) < 0.5, "boolean"),
    "str": rng.choice(["x", "y"], N),
    "string": gaps(rng.choice(["x", "y"], N), "string"),
    "object": pd.Series(rng.choice(["x", "y", None], N), dtype=object),
    "object of ints": pd.Series([1, 2, None] * 20, dtype=object),
    "object of floats": pd.Series([1, 2.5, np.nan] * 20, dtype=object),
    "object of both": pd.Series(["one", 2, pd.NA] * 20, dtype=object),
    "ordered": pd.Categorical(
        rng.choice(["low", "high"], N), ["low", "never", "high"], ordered=True
    ),
    "category of ints": pd.Categorical(rng.choice([3, 1], N)),
    "category with gaps": gaps(pd.Categorical(rng.choice(["x", "y"], N))),
    "intervals": pd.cut(rng.randn(N), 3),
    "periods": pd.period_range("2020", periods=20, freq="M").tolist() * 3,
    "days": DAYS,
    "days of a zone": gaps(pd.Series(DAYS).dt.tz_localize("Europe/Berlin")),
    "hours of a zone": gaps(
        pd.date_range("2020", periods=N, freq="h", tz="Asia/Tokyo")
    ),
    "nanoseconds": pd.Series(DAYS).astype("datetime64[ns]"),
    "durations": gaps(pd.to_timedelta(rng.randint(0, 99, N), unit="min")),
    "int64 of arrow": pd.Series(rng.randint(0, 9, N)).astype("int64[pyarrow]"),
    "text of arrow": gaps(rng.choice(["x", "y"], N)).astype("string[pyarrow]"),
    "times of arrow": gaps(DAYS).astype("timestamp[us][pyarrow]"),
    "dates of arrow": gaps(DAYS).astype("date32[pyarrow]"),
    "hashes": np.uint64(2**64 - 500) + rng.randint(0, 400, N).astype(np.uint64),
    "hashes with gaps": gaps(2**63 - 3 + rng.randint(0, 9, N).astype("u8"), "UInt64"),
    "object of hashes": pd.Series([2**64 - 1, 2**63, None] * 20, dtype=object),
    "decimals": gaps(pd.Series([Decimal("1.25"), Decimal(3), Decimal("-2")] * 20)),
    "decimals of arrow": gaps(
        pd.Series([Decimal("1.25"), Decimal(3), Decimal("-2")] * 20)
    ).astype(pd.ArrowDtype(pa.decimal128(6, 2))),
    "durations of arrow": gaps(DAYS - DAYS[0]).astype("duration[us][pyarrow]"),
    "float16": rng.choice([3000, 0.25, 9.1], N).astype(np.float16),
    "sparse": pd.arrays.SparseArray(rng.randint(0, 2, N)),
    "constant": np.full(N, 7),
    "constant text": np.full(N, "same"),
    "constant with gaps": gaps(np.full(N, 0.1)),
}
FRAME = pd.DataFrame(COLUMNS)

POLARS = pl.DataFrame(
    {
        "int": rng.randint(0, 99, N),
        "Int8": pl.Series([1, None, 3] * 20, dtype=pl.Int8),
        "UInt16": pl.Series([1, 2] * 30, dtype=pl.UInt16),
        "UInt64": pl.Series([2**64 - 1, None, 2**64 - 7] * 20, dtype=pl.UInt64),
        "float": rng.randn(N).round(9),
        "Float32": pl.Series(rng.randn(N).round(2), dtype=pl.Float32),
        "decimal": pl.Series(["1.25", "2.50", None] * 20).cast(pl.Decimal(10, 2)),
        "text": ["a", "b", None] * 20,
        "bool": [True, None, False] * 20,
        "enum": pl.Series(["a", "b", None] * 20, dtype=pl.Enum(["never", "b", "a"])),
        "categorical": pl.Series(["a", "b", None] * 20, dtype=pl.Categorical),
        "date": [dt.date(2020, 1, 1), dt.date(2021, 1, 1), None] * 20,
        "zone": pl.Series(
            [dt.datetime(2020, 1, 1), dt.datetime(2021, 7, 1, 3, 4, 5, 6), None] * 20
        ).dt.replace_time_zone("Europe/Berlin"),
        "ms": pl.Series([dt.datetime(2020, 1, 1), None] * 30, dtype=pl.Datetime("ms")),
        "time": [dt.time(1, 2, 3), None, dt.time(5)] * 20,
        "duration": [dt.timedelta(3), None, dt.timedelta(1, 5)] * 20,
    }
)


def mixed_table(n_rows, random_state):
    """Rows in which the wage depends on the town, and gaps on the wage."""
    rng = np.random.RandomState(random_state)
    town = rng.choice(["north", "south", "west"], n_rows, p=[0.5, 0.3, 0.2])
    center = pd.Series(town).map({"north": 8, "south": 9, "west": 10}).to_numpy()
    wage = rng.lognormal(center, 0.2).round(2)
    idle = rng.rand(n_rows) < 0.4
    hired = pd.Timestamp("2020-01-06") + pd.to_timedelta(
        7 * rng.randint(0, 99, n_rows), "D"
    )
    return pd.DataFrame(
        {
            "town": pd.Categorical(town),
            "wage": wage,
            "hours": np.where(idle, 0, rng.randint(10, 60, n_rows)),
            "bonus": pd.Series(rng.randint(1, 9, n_rows) * 50, dtype="Int64").mask(
                wage < np.median(wage)
            ),
            "hired": hired,
            "member": rng.rand(n_rows) < 0.3,
        }
    )


TABLE = mixed_table(400, random_state=0)


def round_trip(X, **parameters):
    encoder = TabularEncoder(**parameters).fit(X)
    return encoder.inverse_transform(encoder.transform(X))


# rows come back


@pytest.mark.parametrize("name", COLUMNS)
def test_column_of_pandas_comes_back_as_it_was(name):
    X = FRAME[[name]]
    rows = round_trip(X)
    # Only floats of more than six decimals are not rounded on the way back.
    unrounded = name in ("float64", "float32")
    if unrounded:
        pd.testing.assert_frame_equal(
            rows, X, rtol=1e-10 if name == "float64" else 1e-6
        )
    else:
        pd.testing.assert_frame_equal(rows, X, check_exact=True)


@pytest.mark.parametrize("name", POLARS.columns)
def test_column_of_polars_comes_back_as_it_was(name):
    X = POLARS[[name]]
    assert_polars_equal(round_trip(X), X, check_exact=name != "float")


@pytest.mark.parametrize("chosen", [None, ["a"]])
@pytest.mark.parametrize("gap", [None, np.nan])
def test_gaps_of_polars_come_back_as_they_were(gap, chosen):
    X = pl.DataFrame({"a": pl.Series([1.5, gap, 2.25, gap], strict=False)})
    found = round_trip(X, categorical_features=chosen)
    assert found["a"].to_list() == pytest.approx(X["a"].to_list(), nan_ok=True)


@pytest.mark.parametrize("categorical", ["normal", "onehot"])
def test_tables_of_all_columns_come_back(categorical):
    rows = round_trip(FRAME, categorical=categorical)
    pd.testing.assert_frame_equal(rows, FRAME, rtol=1e-6)
    assert_polars_equal(round_trip(POLARS, categorical=categorical), POLARS)


@pytest.mark.parametrize(
    "X",
    [
        rng.randint(0, 9, (20, 3)),
        rng.randint(0, 9, (20, 3)).astype(np.float32),
        rng.rand(20, 2) < 0.5,
        np.array([[1.5, np.nan], [2.5, 3]]),
        np.array([["a", "b"], ["a", "cd"]]),
        np.array([["a", 1, None], ["b", 2, 1.5]], dtype=object),
        np.array([["2020", "2021"], ["2022", "NaT"]], dtype="datetime64[D]"),
        np.array([[3, 5], [4, 7]], dtype="timedelta64[s]"),
        np.array([[b"a", b"b"], [b"a", b"cd"]]),
    ],
    ids=lambda X: str(X.dtype),
)
def test_array_comes_back_as_it_was(X):
    rows = round_trip(X)
    assert rows.dtype == X.dtype
    np.testing.assert_array_equal(rows, X)


def test_list_comes_back_as_an_array_of_its_objects():
    rows = round_trip([["a", 1], ["b", 2]])
    assert rows.tolist() == [["a", 1], ["b", 2]]


def test_names_of_columns_come_back():
    columns = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["upper", "lower"])
    X = pd.DataFrame([[1, "x"], [2, "y"]], columns=columns)
    pd.testing.assert_frame_equal(round_trip(X), X)
    X = pd.DataFrame([[1, "x"], [2, "y"]], columns=[7, 5])
    pd.testing.assert_frame_equal(round_trip(X), X)


def test_one_row_comes_back():
    pd.testing.assert_frame_equal(
        round_trip(FRAME[:1].dropna(axis=1)), FRAME[:1].dropna(axis=1)
    )


def test_read_only_rows_are_left_as_they_are():
    X = np.asfortranarray(rng.randn(20, 3).round(1))
    X[0, 0] = np.nan
    X.flags.writeable = False
    encoder = TabularEncoder().fit(X)
    Z = encoder.transform(X)
    Z.flags.writeable = False
    np.testing.assert_array_equal(encoder.inverse_transform(Z), X)


# any numbers are rows


@pytest.mark.parametrize("categorical", ["normal", "onehot"])
@pytest.mark.parametrize("X", [FRAME, POLARS], ids=["pandas", "polars"])
def test_any_codes_become_rows_of_the_same_types(X, categorical):
    encoder = TabularEncoder(categorical=categorical).fit(X)
    Z = 3 * np.random.RandomState(1).standard_cauchy(
        (200, encoder.transform(X).shape[1])
    )
    rows = encoder.inverse_transform(Z)
    assert list(rows.dtypes) == list(X.dtypes)
    assert len(rows) == 200
    encoder.transform(rows)  # nothing in them is unknown


def test_numbers_stay_in_bounds_and_on_their_grid():
    encoder = TabularEncoder().fit(TABLE)
    Z = 2 * np.random.RandomState(1).randn(500, len(encoder.get_feature_names_out()))
    rows = encoder.inverse_transform(Z)
    assert rows["wage"].between(TABLE["wage"].min(), TABLE["wage"].max()).all()
    np.testing.assert_array_equal(rows["wage"], rows["wage"].round(2))
    assert (rows["bonus"].dropna() % 50 == 0).all()
    assert rows["bonus"].isna().any()
    assert set(rows["hired"].dt.day_of_week) == {0}  # all were hired on Mondays
    assert rows["hours"].min() == 0


def test_largest_indicator_is_the_category():
    X = pd.DataFrame({"town": ["a", "b", "c", None]})
    encoder = TabularEncoder(categorical="onehot").fit(X)
    assert encoder.get_feature_names_out().tolist() == [
        *["town_a", "town_b", "town_c", "town_None"]
    ]
    Z = [[0.1, 0.4, 0.2, 0.3], [-3, -2, -1, -4], [0.2, 0.1, 0, 9]]
    rows = encoder.inverse_transform(Z)["town"]
    assert rows[:2].tolist() == ["b", "c"]
    assert rows.isna().tolist() == [False, False, True]


# codes


def test_integers_beyond_64_bits_are_read_as_floats():
    large = pd.DataFrame({"a": [1, 2**70, -(3**50)]}, dtype=object)
    encoder = TabularEncoder().fit(large)
    back = encoder.inverse_transform(encoder.transform(large))
    assert back["a"].tolist() == [1.0, 2.0**70, -(3.0**50)]
    for values in ([1, 2, 3], [1, 2, 2**60 + 1]):
        encoder = TabularEncoder().fit(pd.DataFrame({"a": values}, dtype=object))
        inside = encoder.transform(pd.DataFrame({"a": values}, dtype=object))
        beyond = pd.DataFrame({"a": [-(2**70), 2, 2**70]}, dtype=object)
        np.testing.assert_allclose(encoder.transform(beyond), inside, atol=1e-9)


def test_numbers_become_their_normal_scores():
    x = rng.lognormal(size=(501, 1))
    z = TabularEncoder().fit_transform(x)
    expected = stats.norm.ppf((stats.rankdata(x) - 0.5) / 501)
    np.testing.assert_allclose(z[:, 0], expected, atol=1e-10)


def test_equal_numbers_share_the_middle_of_their_ranks():
    x = rng.choice([0, 0, 0, 1, 5, 7], size=(300, 1))
    z = TabularEncoder().fit_transform(x)
    expected = stats.norm.ppf((stats.rankdata(x) - 0.5) / 300)  # of average ranks
    np.testing.assert_allclose(z[:, 0], expected, atol=1e-10)


def test_normal_codes_give_values_their_shares():
    x = np.where(rng.rand(5000) < 0.9, 0, rng.randint(1, 9999, 5000))
    encoder = TabularEncoder().fit(x[:, None])
    drawn = encoder.inverse_transform(np.random.RandomState(1).randn(20_000, 1))
    assert np.mean(drawn == 0) == pytest.approx(np.mean(x == 0), abs=0.01)
    assert stats.ks_2samp(drawn[:, 0], x).statistic < 0.02


def test_values_between_training_rows_keep_their_place():
    encoder = TabularEncoder().fit(np.arange(0, 5000, 2)[:, None] + 0.123456789)
    x = np.random.RandomState(1).uniform(1, 4990, (100, 1))
    np.testing.assert_allclose(encoder.inverse_transform(encoder.transform(x)), x)


def test_values_beyond_the_training_rows_become_the_outermost():
    encoder = TabularEncoder().fit(np.array([[1], [2], [9]]))
    Z = encoder.transform(np.array([[-5], [90]]))
    np.testing.assert_array_equal(encoder.inverse_transform(Z), [[1], [9]])


def test_no_two_codes_have_one_name():
    X = pd.DataFrame({"a": [1.0, np.nan], "a_missing": [1.0, 2]})
    names = TabularEncoder().fit(X).get_feature_names_out().tolist()
    assert names == ["a", "a_missing_", "a_missing"]
    encoder = TabularEncoder(categorical="onehot")
    encoder.fit(np.array([[1], ["1"]], dtype=object))
    assert encoder.get_feature_names_out().tolist() == ["x0_1", "x0_1_"]


def test_missing_numbers_have_an_indicator_and_the_score_of_the_median():
    X = pd.DataFrame({"a": [1.0, np.nan, 2, 3], "b": [1.0, 2, 3, 4]})
    encoder = TabularEncoder().fit(X)
    assert encoder.get_feature_names_out().tolist() == ["a", "a_missing", "b"]
    Z = encoder.transform(X)
    np.testing.assert_array_equal(Z[:, 1], [0, 1, 0, 0])
    assert Z[1, 0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(encoder.inverse_transform(Z)["a"]).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_numbers_pass_through():
    X = FRAME[["int8", "cents"]]
    Z = TabularEncoder(numeric="passthrough").fit_transform(X)
    np.testing.assert_array_equal(Z, X)
    weeks = TabularEncoder(numeric="passthrough").fit_transform(TABLE[["hired"]])
    first = TABLE["hired"].min()
    np.testing.assert_array_equal(weeks[:, 0], (TABLE["hired"] - first).dt.days / 7)


def test_any_transformer_of_a_column_does():
    X = FRAME[["int64", "cents", "str"]]
    encoder = TabularEncoder(numeric=StandardScaler()).fit(X)
    expected = StandardScaler().fit_transform(X[["int64", "cents"]])
    np.testing.assert_allclose(encoder.transform(X)[:, :2], expected)
    pd.testing.assert_frame_equal(round_trip(X, numeric=PowerTransformer()), X)
    with pytest.raises(ValueError, match=r"'int64'.*KBins.* must make one column"):
        TabularEncoder(numeric=KBinsDiscretizer(3)).fit(X)


def test_chosen_columns_are_categories():
    X = pd.DataFrame({"code": [3, 1, 3, 9], "size": [1.5, 2, 2, 1]})
    for features in (["code"], [0], np.array([0])):
        encoder = TabularEncoder(features, categorical="onehot").fit(X)
        names = encoder.get_feature_names_out().tolist()
        assert names == ["code_1", "code_3", "code_9", "size"]
        pd.testing.assert_frame_equal(
            encoder.inverse_transform(encoder.transform(X)), X
        )
    rows = round_trip(X.to_numpy(), categorical_features=[0, 1])
    np.testing.assert_array_equal(rows, X)
    days = np.array([["2020-01-01"], ["NaT"], ["2020-01-01"]], dtype="datetime64[ns]")
    rows = round_trip(days, categorical_features=[0])
    assert rows.dtype == days.dtype
    np.testing.assert_array_equal(rows, days)


def test_columns_can_be_chosen_by_a_mask():
    X = np.array([[1, 3, 5], [2, 3, 6], [3, 4, 7.5]])
    masked = TabularEncoder([False, True, False], categorical="onehot").fit(X)
    chosen = TabularEncoder([1], categorical="onehot").fit(X)
    np.testing.assert_array_equal(masked.transform(X), chosen.transform(X))
    with pytest.raises(ValueError, match="is a mask of 2 columns, but X has 3"):
        TabularEncoder(np.array([True, False])).fit(X)


def test_unknown_columns_cannot_be_chosen():
    X = pd.DataFrame({"code": [3, 1, 3, 9], "size": [1.5, 2, 2, 1]})
    with pytest.raises(
        ValueError, match=r"'categorical_features'.*does not have: \['x'\]"
    ):
        TabularEncoder(["x"]).fit(X)


def test_rare_categories_come_back_as_the_most_frequent_of_them():
    X = pd.DataFrame({"a": ["x"] * 5 + ["y"] * 3 + ["q"] * 2 + ["p"]})
    expected = X.replace("p", "q")
    for categorical in ("normal", "onehot"):
        rows = round_trip(X, max_categories=3, categorical=categorical)
        pd.testing.assert_frame_equal(rows, expected)
        rows = round_trip(X, max_categories=4, categorical=categorical)
        pd.testing.assert_frame_equal(rows, X)
    encoder = TabularEncoder(max_categories=3, categorical="onehot").fit(X)
    assert encoder.get_feature_names_out().tolist() == ["a_x", "a_y", "a_infrequent"]


def test_categories_are_scored_by_frequency():
    town = np.array(["a"] * 2 + ["b"] * 5 + ["c"] * 3)
    z = TabularEncoder().fit_transform(pd.DataFrame({"town": town}))[:, 0]
    np.testing.assert_allclose(z, stats.norm.ppf([0.9] * 2 + [0.25] * 5 + [0.65] * 3))


def test_levels_in_order_are_scored_in_order():
    size = pd.Categorical(
        ["M", "L", "L", None, "S"], ["S", "M", "L", "XL"], ordered=True
    )
    z = TabularEncoder().fit_transform(pd.DataFrame({"size": size}))[:, 0]
    np.testing.assert_allclose(z, stats.norm.ppf([0.3, 0.6, 0.6, 0.9, 0.1]))


def test_normal_codes_give_categories_their_shares():
    X = pd.DataFrame({"town": rng.choice(["a", "b", "c"], 2000, p=[0.2, 0.7, 0.1])})
    encoder = TabularEncoder().fit(X)
    drawn = encoder.inverse_transform(np.random.RandomState(1).randn(20_000, 1))
    shares = drawn["town"].value_counts(normalize=True)
    expected = X["town"].value_counts(normalize=True)
    pd.testing.assert_series_equal(shares, expected, atol=0.01)


# what was not met in fit


def test_unknown_cells_are_refused_or_ignored():
    X = pd.DataFrame({"town": ["a", "b"], "age": [1, 3]})
    new = pd.DataFrame({"town": ["c", None], "age": [1, np.nan]})
    encoder = TabularEncoder(categorical="onehot").fit(X)
    with pytest.raises(ValueError, match=r"Column 'town'.*unknown.*'c', missing cells"):
        encoder.transform(new)
    with pytest.raises(ValueError, match=r"Column 'age'.*missing cells.*'ignore'"):
        encoder.transform(new.assign(town="a"))
    Z = encoder.set_params(handle_unknown="ignore").transform(new)
    np.testing.assert_allclose(Z[:, :2], 0)
    np.testing.assert_allclose(Z[:, 2], [stats.norm.ppf(0.25), 0], atol=1e-12)
    scores = TabularEncoder(handle_unknown="ignore").fit(X).transform(new)
    np.testing.assert_allclose(scores[:, 0], 0)


@pytest.mark.parametrize(
    ("X", "error", "text"),
    [
        (pd.DataFrame({"a": [1, 2], "b": [None, None]}), ValueError, "'b': all cells"),
        (pd.DataFrame({"a": [np.nan, np.nan]}), ValueError, "'a': all cells are mi"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "unique column names"),
        (
            pd.DataFrame({"a": map(str, range(99))}),
            ValueError,
            "'a': each row has a cat",
        ),
        (
            pd.DataFrame({"a": [1, np.inf]}),
            ValueError,
            "'a': Input X contains infinity",
        ),
        (
            pl.DataFrame({"a": [1.0, np.inf]}),
            ValueError,
            "'a': Input X contains infinity",
        ),
        (np.array([[1.0, np.inf]]), ValueError, "infinity"),
        (np.array([[1.0], [-np.inf]], dtype=object), ValueError, "infinity"),
        (np.array([[1], [10**400]], dtype=object), ValueError, "'x0': .*too large"),
        (
            pd.DataFrame({"a": [[1], [2]]}),
            TypeError,
            "'a'.*must be a string or a number",
        ),
        (
            pl.DataFrame({"a": [[1], [2]]}),
            TypeError,
            "'a'.*must be a string or a number",
        ),
        (pd.DataFrame({"a": [1j]}), ValueError, "Complex data not supported"),
        (pd.DataFrame({"a": []}), ValueError, "0 sample"),
        (pd.DataFrame(index=[1, 2]), ValueError, "0 feature"),
        (pl.DataFrame({"a": []}), ValueError, "0 sample"),
        (pd.Series([1, 2]), ValueError, "Expected a 2-dim"),
    ],
    ids=lambda _: "",
)
def test_bad_tables_are_refused(X, error, text):
    encoder = TabularEncoder()
    with pytest.raises(error, match=text):
        encoder.fit(X)
    assert not hasattr(encoder, "codes_")


@pytest.mark.parametrize("other", [TABLE["hired"].astype(str), TABLE["wage"]])
def test_what_is_no_time_is_refused_where_times_were(other):
    encoder = TabularEncoder().fit(TABLE)
    with pytest.raises(TypeError, match="Column 'hired': it held times in fit, and ho"):
        encoder.transform(TABLE.assign(hired=other))


def hours(zone, kind):
    """Return the same hours in a time zone, or without one."""
    times = pd.date_range("2020", periods=9, freq="h", tz="UTC").tz_convert(zone)
    frame = pd.DataFrame({"at": times})
    if kind == "arrow":
        unit = "us" if zone is None else f"us, tz={zone}"
        return frame.astype(f"timestamp[{unit}][pyarrow]")
    return pl.from_pandas(frame) if kind == "polars" else frame


@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars"])
def test_times_of_a_zone_and_of_none_are_not_taken_for_each_other(kind):
    naive, tokyo, utc = (hours(zone, kind) for zone in (None, "Asia/Tokyo", "UTC"))
    encoder = TabularEncoder().fit(tokyo)
    with pytest.raises(TypeError, match="'at': it held times with a time zone in fit"):
        encoder.transform(naive)
    with pytest.raises(TypeError, match=r"without a time zone.*holds .*UTC.* now"):
        TabularEncoder().fit(naive).transform(utc)
    rows = encoder.inverse_transform(encoder.transform(utc))
    assert (rows["at"] == tokyo["at"]).all()


@pytest.mark.parametrize("kind", [pd.DataFrame, np.asarray])
def test_durations_are_not_taken_for_moments(kind):
    moments, durations = (kind(pd.DataFrame({"at": t})) for t in (DAYS, DAYS - DAYS[0]))
    for there, here in ((moments, durations), (durations, moments)):
        with pytest.raises(TypeError, match=r"it held .*64.* in fit, and holds .*64"):
            TabularEncoder().fit(there).transform(here)


@pytest.mark.parametrize("missing", [pd.NaT, None, np.nan])
def test_missing_times_are_of_any_type_and_zone(missing):
    frame = hours("UTC", "pandas")
    encoder = TabularEncoder(handle_unknown="ignore").fit(frame)
    assert encoder.transform(pd.DataFrame({"at": [missing]})).shape == (1, 1)
    frames = pl.from_pandas(frame), pl.DataFrame({"at": [None]})
    assert encoder.fit(frames[0]).transform(frames[1]).shape == (1, 1)


@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars"])
def test_days_of_a_zone_whose_clocks_change_are_drawn_as_days(kind):
    zone = "Europe/Berlin"
    days = pd.date_range("2020-01-01", "2021-12-31", tz=zone)
    # On two of these dates clocks skip the time, on two others they show it twice.
    hours = pd.date_range("2020-01-01 02:30", periods=104, freq="7D").tz_localize(
        zone, ambiguous=np.zeros(104, dtype=bool), nonexistent="shift_forward"
    )
    for times, hour in ((days, {0}), (hours[[0, 7, 52]], {2, 3})):
        frame = pd.DataFrame({"at": times})
        if kind == "arrow":
            frame = frame.astype(f"timestamp[us, tz={zone}][pyarrow]")
        frame = pl.from_pandas(frame) if kind == "polars" else frame
        encoder = TabularEncoder().fit(frame)
        back = encoder.inverse_transform(encoder.transform(frame))
        assert back.equals(frame)
        drawn = encoder.inverse_transform(np.random.RandomState(0).randn(2000, 1))["at"]
        drawn = drawn.to_pandas() if kind == "polars" else drawn.astype(times.dtype)
        assert not drawn.isna().any()
        assert {*drawn.dt.hour} <= hour
    # Of hours that differ in nothing but the zone's offset, UTC is kept.
    twice = pd.date_range("2020-10-25", periods=5, freq="h", tz=zone)
    frame = pd.DataFrame({"at": twice})
    frame = pl.from_pandas(frame) if kind == "polars" else frame
    encoder = TabularEncoder().fit(frame)
    assert encoder.inverse_transform(encoder.transform(frame)).equals(frame)


def test_tables_of_other_packages_are_refused_by_name():
    table = pa.Table.from_pandas(TABLE)
    with pytest.raises(TypeError, match=r"DataFrames of pandas .* Got a pyarrow.*Tabl"):
        TabularEncoder().fit(table)


def test_refused_fit_leaves_the_encoder_as_it_was():
    X, bad = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), {"c": [1.0, np.inf]}
    encoder = TabularEncoder()
    with pytest.raises(ValueError, match="infinity"):
        encoder.fit(pd.DataFrame(bad))
    assert not hasattr(encoder, "n_features_in_")
    encoder.fit(X)
    with pytest.raises(ValueError, match="infinity"):
        encoder.fit(pd.DataFrame(bad))
    assert encoder.get_feature_names_out().tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(encoder.inverse_transform(encoder.transform(X)), X)


def test_other_columns_are_refused():
    encoder = TabularEncoder().fit(TABLE)
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(TABLE.rename(columns={"wage": "pay"}))
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(TABLE.drop(columns="wage"))
    with pytest.raises(ValueError, match="Column 'wage': could not convert string"):
        encoder.transform(TABLE.assign(wage="much"))
    with pytest.raises(ValueError, match="X has 2 columns, but TabularEncoder has 7"):
        encoder.inverse_transform(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="contains NaN"):
        encoder.inverse_transform(np.full((3, 7), np.nan))


def test_types_that_hold_the_same_are_taken():
    X = pd.DataFrame({"n": [1, 2, 3], "t": ["a", "b", "a"]})
    encoder = TabularEncoder().fit(X)
    expected = encoder.transform(X)
    for same in (
        X.astype({"n": "Float64", "t": "category"}),
        X.astype({"n": "int8", "t": "string"}),
        pl.DataFrame(X.to_dict("list")),
    ):
        np.testing.assert_array_equal(encoder.transform(same), expected)


# as a step of scikit-learn


def test_output_can_be_a_frame():
    encoder = TabularEncoder().set_output(transform="pandas").fit(TABLE)
    codes = encoder.transform(TABLE[5:9])
    assert codes.columns.tolist() == encoder.get_feature_names_out().tolist()
    assert codes.index.tolist() == [5, 6, 7, 8]
    pd.testing.assert_frame_equal(
        encoder.inverse_transform(codes), TABLE[5:9].reset_index(drop=True)
    )


def skops_copy(model):
    data = skops.io.dumps(model)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


@pytest.mark.parametrize("numeric", ["normal", "passthrough", StandardScaler()])
def test_copies_do_the_same(tmp_path, numeric):
    X = FRAME.drop(columns=["intervals", "periods", "object of both"])
    X = X.drop(columns=["string", "text of arrow", "sparse", "decimals of arrow"])
    encoder = TabularEncoder(numeric=numeric).fit(X)
    skdeep.io.save(encoder, tmp_path / "encoder")
    kept = skdeep.io.load(tmp_path / "encoder")
    for copied in (pickle.loads(pickle.dumps(encoder)), skops_copy(encoder), kept):
        np.testing.assert_array_equal(copied.transform(X), encoder.transform(X))
        rows = copied.inverse_transform(encoder.transform(X))
        pd.testing.assert_frame_equal(
            rows, encoder.inverse_transform(encoder.transform(X))
        )


def test_categories_that_files_cannot_hold_are_named(tmp_path):
    encoder = TabularEncoder().fit(FRAME[["intervals"]])
    with pytest.raises(TypeError, match="Interval"):
        skdeep.io.save(encoder, tmp_path / "encoder")


def test_callbacks_see_the_fit():
    X = pd.DataFrame({"a": [1, 2, 4], "b": ["x", "y", "y"]})
    shown = make_sampler_pipeline(TabularEncoder(), KernelDensity())
    with pytest.warns(UserWarning, match="KernelDensity does not") as warned:
        shown.set_callbacks(ProgressBar()).fit(X)
    assert not any("TabularEncoder" in str(w.message) for w in warned)
    with pytest.raises(TypeError, match=r"networks\. Got a fit of TabularEncoder"):
        TabularEncoder().set_callbacks(EarlyStopping()).fit(X)


def test_clusterers_and_searches_take_tables():
    pipeline = make_pipeline(
        TabularEncoder(categorical="onehot"),
        DECClusterer(3, autoencoder=SMALL, max_iter=1, random_state=0),
    )
    assert set(pipeline.fit_predict(TABLE[:60])) <= {0, 1, 2}
    search = GridSearchCV(
        make_pipeline(TabularEncoder(), KMeans(3, n_init=1, random_state=0)),
        {"tabularencoder__numeric": ["normal", StandardScaler()]},
        cv=2,
    )
    assert search.fit(TABLE).predict(TABLE).shape == (400,)
    numeric = clone(search.best_estimator_).get_params()["tabularencoder__numeric"]
    assert numeric == "normal" or isinstance(numeric, StandardScaler)


# samples


def check_structure(drawn):
    """Drawn rows keep what `mixed_table` planted."""
    assert list(drawn.dtypes) == list(TABLE.dtypes)
    wages = drawn.groupby("town", observed=True)["wage"].median()
    expected = TABLE.groupby("town", observed=True)["wage"].median()
    np.testing.assert_allclose(np.log(wages), np.log(expected), atol=0.3)
    low = drawn["wage"] < TABLE["wage"].median()
    assert drawn["bonus"].isna()[low].mean() > 0.8
    assert drawn["bonus"].isna()[~low].mean() < 0.2
    assert (drawn["hours"] == 0).mean() == pytest.approx(0.4, abs=0.15)


def test_mixture_draws_tables_with_their_dependence():
    model = make_sampler_pipeline(TabularEncoder(), GaussianMixture(6, random_state=0))
    check_structure(model.fit(TABLE).sample(2000, random_state=0))


def test_flow_draws_tables_with_their_dependence():
    model = make_sampler_pipeline(
        TabularEncoder(), FlowSampler(max_iter=60, random_state=0)
    )
    check_structure(model.fit(TABLE).sample(2000, random_state=0))


def test_conditional_sampler_takes_classes():
    model = make_sampler_pipeline(
        TabularEncoder(), VAESampler(conditional=True, max_iter=30, random_state=0)
    ).fit(TABLE.drop(columns="town"), TABLE["town"])
    south, west = (model.sample(200, y=y, random_state=0) for y in ("south", "west"))
    assert south["wage"].median() < west["wage"].median()


def test_densities_are_refused_in_words():
    model = make_sampler_pipeline(TabularEncoder(), GaussianMixture()).fit(TABLE)
    with pytest.raises(
        NotImplementedError, match=r"'tabularencoder'.*has no known Jac"
    ):
        model.score_samples(TABLE)


# parts


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 13, 8], Grid(0, 3, 5, 2)),
        ([1.25, 1.5], Grid(2, 125, 25, 1)),
        ([0.1, 0.2, 0.4], Grid(1, 1, 1, 3)),
        ([7, 7], Grid(0, 7, 1)),
        ([np.pi, 1], Grid(None)),
        ([1e300, 1], Grid(None)),
    ],
)
def test_grid_is_the_coarsest_with_all_values(values, expected):
    assert Grid.of(np.array(values)) == expected


def test_scores_are_inverted_between_values():
    scores = NormalScores.of(rng.exponential(size=3000))
    x = np.linspace(0.01, 5, 100)
    np.testing.assert_allclose(scores.inverse_transform(scores.transform(x)), x)


# scores


def drawn_by_scores(values):
    table = pd.DataFrame({"a": values})
    scores = np.random.RandomState(1).randn(400_000, 1)
    return TabularEncoder().fit(table).inverse_transform(scores)["a"]


def test_normal_scores_lead_back_to_the_tails():
    values = np.random.RandomState(0).lognormal(sigma=2, size=50_000)
    drawn = drawn_by_scores(values)
    assert drawn.mean() == pytest.approx(values.mean(), rel=0.05)
    assert drawn.std() == pytest.approx(values.std(), rel=0.1)
    tails = [0.0001, 0.001, 0.999, 0.9995]
    np.testing.assert_allclose(
        np.quantile(drawn, tails), np.quantile(values, tails), rtol=0.1
    )


def test_normal_scores_lead_back_to_the_few_rows_that_are_not_zero():
    values = np.zeros(50_000)
    values[:40] = np.random.RandomState(0).lognormal(size=40)
    drawn = drawn_by_scores(values)
    assert (drawn > 0).mean() == pytest.approx(40 / 50_000, rel=0.3)
    assert drawn.mean() == pytest.approx(values.mean(), rel=0.3)


def test_rare_categories_of_many_rows_keep_their_share():
    drawn = drawn_by_scores(["common"] * 49_950 + ["rare"] * 50)
    assert (drawn == "rare").mean() == pytest.approx(0.001, rel=0.2)


@pytest.mark.parametrize("flipped", [1, -1])
def test_scores_beyond_the_domain_of_a_scaler_decode_to_the_bound(flipped):
    tail = (np.random.RandomState(0).pareto(1, 300) * 2).round(2)
    X = pd.DataFrame(
        {
            "count": flipped * tail.astype(int),
            "price": flipped * tail,
            "share": flipped * tail**0.9,
            "on": pd.Timestamp("2020") + pd.to_timedelta(tail.astype(int), "D"),
        }
    )
    encoder = TabularEncoder(numeric=PowerTransformer()).fit(X)
    pd.testing.assert_frame_equal(encoder.inverse_transform(encoder.transform(X)), X)
    for sign, bound in ((50, X.max()), (-50, X.min())):
        found = encoder.inverse_transform(np.full((1, 4), float(sign))).iloc[0]
        assert found[["count", "price", "on"]].equals(bound[["count", "price", "on"]])
        assert found["share"] == pytest.approx(bound["share"])


def test_bounds_are_exact_and_scalers_may_go_up_and_down():
    rng = np.random.RandomState(17)
    paid = np.where(rng.rand(300) < 0.6, 0, rng.lognormal(size=300))
    for scaler in (StandardScaler(), MinMaxScaler(), PowerTransformer()):
        encoder = TabularEncoder(numeric=scaler).fit(paid[:, None])
        assert encoder.inverse_transform([[-50.0]]).item() == 0
        assert encoder.inverse_transform([[50.0]]).item() == paid.max()
    x = (rng.choice([-1, 1], 300) * rng.uniform(0.5, 3, 300))[:, None]
    flipped = FunctionTransformer(np.reciprocal, np.reciprocal)
    np.testing.assert_allclose(round_trip(x, numeric=flipped), x)


def test_scalers_may_return_frames():
    X = pd.DataFrame({"a": [1.5, 2, 9], "b": [1, 2, 3]})
    for scaler in (StandardScaler(), PowerTransformer()):
        found = round_trip(X, numeric=scaler.set_output(transform="pandas"))
        pd.testing.assert_frame_equal(found, X)


def test_scores_that_many_values_share_decode_as_the_scaler_says():
    x = np.random.RandomState(0).randn(300, 1)
    bins = KBinsDiscretizer(5, encode="ordinal", strategy="uniform")
    expected = bins.inverse_transform(bins.fit_transform(x))
    np.testing.assert_allclose(round_trip(x, numeric=bins), expected)


def test_numbers_that_no_score_leads_to_are_the_median():
    x = np.arange(-5, 6)[:, None]
    square = FunctionTransformer(np.square, np.sqrt, check_inverse=False)
    for values in (x, x / 7):
        encoder = TabularEncoder(numeric=square).fit(values)
        assert encoder.inverse_transform([[-1.0]]).item() == 0
