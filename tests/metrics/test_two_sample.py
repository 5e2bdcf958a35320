import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from skdeep.metrics import classifier_two_sample_score, novelty_score

LINEAR = LogisticRegression()


@pytest.fixture(scope="module")
def normal():
    return np.random.RandomState(0).normal(size=(2, 200, 4))


def mixed_table(n, seed):
    rng = np.random.RandomState(seed)
    return pd.DataFrame(
        {
            "age": rng.randint(18, 80, size=n),
            "city": rng.choice(["Bonn", "Köln", "Ulm"], p=[0.5, 0.3, 0.2], size=n),
            "size": pd.Categorical(rng.choice(["S", "M"], size=n)),
            "debt": np.where(rng.uniform(size=n) < 0.3, np.nan, rng.normal(size=n)),
            "member": rng.uniform(size=n) < 0.4,
        }
    )


# what the score is


def test_a_linear_classifier_finds_the_best_possible_area():
    rng = np.random.RandomState(0)
    X, Y = rng.normal(size=(3000, 2)), rng.normal([1, 0], 1, size=(3000, 2))
    score = classifier_two_sample_score(X, Y, classifier=LINEAR, random_state=0)
    assert score == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.015)


def test_score_is_the_mean_area_over_the_folds():
    class OneFold(HistGradientBoostingClassifier):
        """Keeps what it was fitted on."""

        seen: list

        def fit(self, X, y):
            self.seen.append((X, y))
            return super().fit(X, y)

    OneFold.seen = []
    rng = np.random.RandomState(0)
    X, Y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 0.5
    model = OneFold(min_samples_leaf=5, random_state=0)
    score = classifier_two_sample_score(X, Y, classifier=model, cv=3, random_state=0)
    rows = {tuple(row): label for label, F in enumerate((X, Y)) for row in F}
    areas = []
    for seen, labels in OneFold.seen:
        assert [rows[tuple(row)] for row in seen] == list(labels)
        assert np.bincount(labels).tolist() == [40, 40]
        held_out = np.array(sorted(set(rows) - set(map(tuple, seen))))
        fitted = HistGradientBoostingClassifier(min_samples_leaf=5, random_state=0)
        p = fitted.fit(seen, labels).predict_proba(held_out)[:, 1]
        areas.append(roc_auc_score([rows[tuple(row)] for row in held_out], p))
    assert score == pytest.approx(np.mean(areas))


def test_samples_of_one_distribution_score_a_half(normal):
    score = classifier_two_sample_score(*normal, random_state=0)
    assert score == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("n", [8, 40, 200])
def test_samples_that_do_not_meet_score_one(n):
    X, Y = np.random.RandomState(0).normal(size=(2, n, 3))
    assert classifier_two_sample_score(X, Y + 20, cv=4, random_state=0) > 0.99


def test_score_grows_with_the_difference(normal):
    X, Y = normal[:, :150]
    scores = [
        classifier_two_sample_score(X, Y + shift, cv=2, random_state=0)
        for shift in (0, 0.3, 1, 3)
    ]
    assert scores == sorted(scores)


def test_dependence_between_columns_is_found():
    X = np.random.RandomState(0).normal(size=(400, 1)) * [1, 1]
    X += 0.3 * np.random.RandomState(1).normal(size=X.shape)
    Y = np.column_stack([X[:, 0], np.random.RandomState(2).permutation(X[:, 1])])
    assert classifier_two_sample_score(X, Y, cv=2, random_state=0) > 0.7
    linear = classifier_two_sample_score(X, Y, classifier=LINEAR, cv=2, random_state=0)
    assert linear == pytest.approx(0.5, abs=0.08)


def test_integers_that_are_none_in_the_sample_are_found():
    rng = np.random.RandomState(0)
    X, Y = rng.poisson(4, size=(2, 300, 1))
    assert classifier_two_sample_score(X, Y, cv=2, random_state=0) < 0.58
    blurred = Y + rng.uniform(-0.4, 0.4, size=(300, 1))
    assert classifier_two_sample_score(X, blurred, cv=2, random_state=0) > 0.95


# symmetry and shuffling


def test_equal_rows_in_equal_order_score_exactly_a_half(normal):
    X, _ = normal
    assert classifier_two_sample_score(X, X, random_state=0) == 0.5
    assert classifier_two_sample_score(X, X, classifier=LINEAR, cv=3) == 0.5


@pytest.mark.parametrize("classifier", [None, LINEAR, KNeighborsClassifier(9)])
def test_exchanging_the_samples_changes_nothing(normal, classifier):
    X, Y = normal
    one, other = (
        classifier_two_sample_score(*pair, classifier=classifier, cv=2, random_state=0)
        for pair in ((X, Y + 0.4), (Y + 0.4, X))
    )
    assert one == pytest.approx(other, abs=1e-3)
    assert one > 0.55


def test_copies_in_another_order_score_below_a_half(normal):
    X, _ = normal
    # One row of each pair is learned with the other label.
    model = KNeighborsClassifier(1)
    copies = np.random.RandomState(1).permutation(X)
    score = classifier_two_sample_score(X, copies, classifier=model, random_state=0)
    assert score < 0.3


def test_sorted_rows_are_shuffled(normal):
    X, Y = (F[F[:, 0].argsort()] for F in normal)
    model = KNeighborsClassifier(9)
    score = classifier_two_sample_score(X, Y, classifier=model, random_state=0)
    assert score == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("n_real", "n_sampled"), [(100, 200), (200, 100)])
def test_sizes_may_differ_and_the_smaller_one_counts(normal, n_real, n_sampled):
    class Recorder(LogisticRegression):
        """Keeps the classes that it was fitted on."""

        seen: list

        def fit(self, X, y):
            self.seen.append(np.bincount(y).tolist())
            return super().fit(X, y)

    Recorder.seen = []
    X, Y = normal
    score = classifier_two_sample_score(
        X[:n_real], Y[:n_sampled] + 1, classifier=Recorder(), random_state=0
    )
    assert Recorder.seen == [[80, 80]] * 5
    assert score > 0.8


def test_the_part_that_counts_is_drawn_from_all_rows(normal):
    X = normal[0][:100]
    Y = np.vstack([X + 50, normal[1]])  # only the first rows are far off
    score = classifier_two_sample_score(X, Y, random_state=0)
    assert 0.5 < score < 0.7


def test_the_seed_decides_and_the_global_generator_does_not(normal):
    X, Y = normal
    X, Y = X[:60], Y[:60]
    state = np.random.get_state()[1].copy()
    score = classifier_two_sample_score(X, Y, cv=2, random_state=1)
    assert score == classifier_two_sample_score(X, Y, cv=2, random_state=1)
    assert score != classifier_two_sample_score(X, Y, cv=2, random_state=2)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert type(score) is float


def test_the_classifier_that_is_given_is_not_fitted(normal):
    model = LogisticRegression()
    classifier_two_sample_score(*normal, classifier=model)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("model", [LINEAR, LinearSVC()])
def test_decisions_and_probabilities_serve_alike(normal, model):
    X, Y = normal
    score = classifier_two_sample_score(X, Y + 0.5, classifier=model, random_state=0)
    assert 0.7 < score < 0.85


# tables


def test_tables_of_mixed_columns_are_compared():
    X, Y = mixed_table(250, 0), mixed_table(250, 1)
    score = classifier_two_sample_score(X, Y, cv=2, random_state=0)
    assert score == pytest.approx(0.5, abs=0.08)
    X, Y = pl.from_pandas(X), pl.from_pandas(Y[Y.columns[::-1]])
    assert classifier_two_sample_score(X, Y, cv=2, random_state=0) == score


@pytest.mark.parametrize(
    "spoil",
    [
        lambda Y: Y.assign(city="Ulm"),
        lambda Y: Y.assign(city=Y["city"].replace("Ulm", "Berlin")),
        lambda Y: Y.assign(city=Y["city"].where(Y["city"] != "Bonn", None)),
        lambda Y: Y.assign(debt=Y["debt"].fillna(0.0)),
        lambda Y: Y.assign(age=Y["age"] + 0.5),
        lambda Y: Y.assign(member=True),
        lambda Y: Y.assign(size="S"),
    ],
)
def test_a_spoiled_column_of_any_type_is_found(spoil):
    X, Y = mixed_table(250, 0), mixed_table(250, 1)
    assert classifier_two_sample_score(X, spoil(Y), random_state=0) > 0.57


@pytest.mark.parametrize("n_present", [0, 1, 2])
@pytest.mark.parametrize("value", [3.0, "yes"])
def test_columns_that_are_nearly_empty_tell_nothing(normal, n_present, value):
    cells = pd.Series([value] * n_present + [None] * (100 - n_present))
    tables = [pd.DataFrame(part[:100]).assign(rare=cells) for part in normal]
    for seed in range(3):
        assert 0.3 < classifier_two_sample_score(*tables, random_state=seed) < 0.7


def test_column_that_is_empty_in_one_sample_alone_is_found(normal):
    real, sampled = (pd.DataFrame(part[:100]) for part in normal)
    sampled[0] = np.nan
    assert classifier_two_sample_score(real, sampled, random_state=0) == 1


def test_categories_that_alternate_in_the_alphabet_are_told_apart():
    rng = np.random.RandomState(0)
    X, Y = 2 * rng.randint(10, size=(150, 1)), 2 * rng.randint(10, size=(150, 1)) + 1
    names = np.array([f"name {i:02}" for i in range(20)])
    score = classifier_two_sample_score(names[X], names[Y], random_state=0)
    assert score > 0.995
    assert classifier_two_sample_score(X, Y, random_state=0) < 0.99


@pytest.mark.parametrize("n_values", [255, 256, 600])
def test_columns_of_many_categories_are_taken(n_values):
    rng = np.random.RandomState(0)
    text = np.array([f"value {i}" for i in range(n_values)], dtype=object)
    X, Y = (text[rng.randint(n_values, size=(1000, 1))] for _ in range(2))
    X[::50] = None
    score = classifier_two_sample_score(X, Y, cv=2, random_state=0)
    assert score == pytest.approx(0.5, abs=0.08)


def test_number_formats_do_not_tell_samples_apart():
    rng = np.random.RandomState(0)
    X, Y = rng.randint(0, 100, size=(2, 150, 1))
    score = classifier_two_sample_score(X, Y, cv=2, random_state=0)
    assert (
        classifier_two_sample_score(X, Y.astype(float), cv=2, random_state=0) == score
    )
    # In float32 a tenth is another number than in float64.
    rounded = (Y / 10).astype(np.float32)
    tenths = classifier_two_sample_score(X / 10, rounded, cv=2, random_state=0)
    assert tenths == pytest.approx(score, abs=0.02)


def test_objects_that_are_dates_are_compared_as_dates():
    days = pd.Series(
        pd.to_datetime("2020-01-01") + pd.to_timedelta(np.arange(200), "D")
    )
    real, later = (
        pd.DataFrame({"day": moved.dt.date.mask(days.index % 10 == 3)})
        for moved in (days, days + pd.Timedelta(150, "D"))
    )
    assert classifier_two_sample_score(real, later, random_state=0) > 0.8
    typed = pd.DataFrame({"day": pd.to_datetime(real["day"])})
    assert classifier_two_sample_score(real, typed, random_state=0) == 0.5
    zoned = typed["day"].dt.tz_localize("Europe/Paris").astype(object)
    in_utc = typed["day"].dt.tz_localize("Europe/Paris").dt.tz_convert("UTC")
    assert novelty_score(zoned.to_frame(), in_utc.to_frame()) == 0
    lasting = pd.DataFrame({"time": (days - days[0]).astype(object)})
    longer = pd.DataFrame({"time": days - days[50]})
    assert novelty_score(lasting, longer) == 0.25
    nothing = pd.DataFrame({"day": [None] * 5})
    assert novelty_score(real, nothing) == novelty_score(typed, nothing) == 0
    cells = np.array([*typed["day"].to_numpy("M8[D]"), None], dtype=object)[:, None]
    assert novelty_score(cells, typed.to_numpy()) == 0
    west = datetime.timezone(-datetime.timedelta(hours=5))
    last = datetime.datetime(9999, 12, 31, 23, tzinfo=west)
    ends = pd.DataFrame({"day": [last] * 5}, dtype=object)
    assert novelty_score(ends, ends) == 0


def test_dates_are_compared():
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta(np.arange(200), "D")
    X, later = pd.DataFrame({"day": days}), pd.DataFrame({"day": days[100:]})
    assert classifier_two_sample_score(X, X, cv=2, random_state=0) == 0.5
    later["day"] += pd.to_timedelta(1, "h")
    assert classifier_two_sample_score(later, X[:100], cv=2, random_state=0) > 0.99


def test_text_without_features_is_codes_to_a_classifier_that_is_given():
    X, Y = (mixed_table(200, seed)[["age", "city"]] for seed in (0, 1))
    score = classifier_two_sample_score(
        X, Y.assign(age=Y["age"] + 100), classifier=KNeighborsClassifier()
    )
    assert score > 0.99


def test_images_are_flattened(normal):
    X, Y = (F.reshape(200, 1, 2, 2) for F in normal)
    expected = classifier_two_sample_score(*normal, classifier=LINEAR, random_state=0)
    score = classifier_two_sample_score(X, Y, classifier=LINEAR, random_state=0)
    assert score == expected


def test_sparse_rows_need_another_classifier_or_features(normal):
    X, Y = (sparse.csr_array(F.clip(0)) for F in normal)
    with pytest.raises(ValueError, match=r"takes no sparse.*LogisticRegression\(\)"):
        classifier_two_sample_score(X, Y)
    score = classifier_two_sample_score(X, Y, classifier=LINEAR, random_state=0)
    dense = [F.toarray() for F in (X, Y)]
    expected = classifier_two_sample_score(*dense, classifier=LINEAR, random_state=0)
    assert score == pytest.approx(expected, abs=1e-6)
    svd = TruncatedSVD(2, random_state=0).fit(X)
    assert 0.4 < classifier_two_sample_score(X, Y, features=svd, random_state=0) < 0.6


def test_features_decide_what_is_compared(normal):
    X, Y = normal
    Y = Y + np.array([0, 0, 0, 5])
    assert classifier_two_sample_score(X, Y, cv=2, random_state=0) > 0.99
    score = classifier_two_sample_score(
        X, Y, features=lambda X: X[:, :3], cv=2, random_state=0
    )
    assert score == pytest.approx(0.5, abs=0.08)


# errors


@pytest.mark.parametrize("cv", [1, 0, 11, 2.0, None, "5", True])
def test_folds_that_are_no_number_of_rows_raise(cv):
    X = load_iris().data
    with pytest.raises(ValueError, match=r"'cv' parameter.*from 2 to.* 10"):
        classifier_two_sample_score(X, X[:10], cv=cv)


def test_one_row_raises():
    with pytest.raises(ValueError, match=r"'cv' parameter.*smaller sample, 1"):
        classifier_two_sample_score([[0.0]], [[1.0]])


def test_infinite_numbers_raise(normal):
    X, Y = normal
    with pytest.raises(ValueError, match="X_sampled contains infinity"):
        classifier_two_sample_score(X, np.where(Y > 1, np.inf, Y))
