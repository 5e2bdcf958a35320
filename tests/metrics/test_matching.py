from enum import Enum
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from skdeep.metrics import (
    _matching,
    clustering_accuracy_score,
    matched_iou_score,
    pairwise_precision_recall_f_score,
    purity_score,
)

SCORES = [clustering_accuracy_score, purity_score, matched_iou_score]
ALL_SCORES = [*SCORES, pairwise_precision_recall_f_score]

TEXTS = ("string", "str", "category", "object")

rng = np.random.RandomState(0)
SHAPES = [(2, 2), (3, 3), (4, 4), (2, 4), (4, 2), (5, 3), (1, 3), (3, 1)]


def labels_of_shape(n_classes, n_clusters, n_samples=60):
    return (
        np.r_[np.arange(n_classes), rng.randint(n_classes, size=n_samples)],
        np.r_[np.zeros(n_classes, int), rng.randint(n_clusters, size=n_samples)],
    )


def best_over_all_matchings(gain):
    """Largest sum over one-to-one matchings of rows with columns, by trying all."""
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    rows, n_columns = np.arange(len(gain)), gain.shape[1]
    return max(
        gain[rows, columns].sum()
        for columns in permutations(range(n_columns), len(rows))
    )


# Formulas


def test_accuracy_of_a_worked_example():
    labels_true = [0, 0, 0, 1, 1, 1, 2, 2]
    labels_pred = [1, 1, 2, 2, 2, 0, 0, 0]
    assert clustering_accuracy_score(labels_true, labels_pred) == 6 / 8


def test_accuracy_gives_up_a_greedy_match_for_a_better_total():
    # Cluster 0 overlaps most with class 0 (3 rows), but 2 + 3 > 3 + 0.
    labels_true = [0, 0, 0, 0, 0, 1, 1]
    labels_pred = [0, 0, 0, 1, 1, 0, 0]
    assert clustering_accuracy_score(labels_true, labels_pred) == 4 / 7


@pytest.mark.parametrize(("n_classes", "n_clusters"), SHAPES)
def test_accuracy_is_the_best_over_all_permutations(n_classes, n_clusters):
    labels_true, labels_pred = labels_of_shape(n_classes, n_clusters)
    counts = np.zeros((n_classes, n_clusters))
    np.add.at(counts, (labels_true, labels_pred), 1)
    best = best_over_all_matchings(counts)
    assert clustering_accuracy_score(labels_true, labels_pred) == best / len(
        labels_true
    )


def test_purity_of_the_example_of_the_textbook():
    # Manning, Raghavan, Schuetze, figure 16.4: purity 12 / 17.
    labels_true = list("xxxxxo" + "xoooo@" + "xx@@@")
    labels_pred = [0] * 6 + [1] * 6 + [2] * 5
    assert purity_score(labels_true, labels_pred) == pytest.approx(12 / 17)


@pytest.mark.parametrize(("n_classes", "n_clusters"), SHAPES)
def test_purity_is_at_least_the_accuracy(n_classes, n_clusters):
    labels_true, labels_pred = labels_of_shape(n_classes, n_clusters)
    accuracy = clustering_accuracy_score(labels_true, labels_pred)
    assert accuracy <= purity_score(labels_true, labels_pred) <= 1


def test_purity_is_one_when_each_row_is_a_cluster():
    assert purity_score([0, 0, 1, 1], [0, 1, 2, 3]) == 1


def test_iou_of_a_worked_example_is_in_sorted_class_order():
    labels_true = ["b", "b", "b", "a", "a", "c"]
    labels_pred = [0, 0, 1, 1, 1, 1]
    iou = matched_iou_score(labels_true, labels_pred, average=None)
    np.testing.assert_allclose(iou, [2 / 4, 2 / 3, 0])


@pytest.mark.parametrize(("n_classes", "n_clusters"), SHAPES)
def test_iou_matching_maximises_the_summed_iou(n_classes, n_clusters):
    labels_true, labels_pred = labels_of_shape(n_classes, n_clusters)
    overlap = np.array(
        [
            [
                np.sum((labels_true == c) & (labels_pred == k))
                / np.sum((labels_true == c) | (labels_pred == k))
                for k in range(n_clusters)
            ]
            for c in range(n_classes)
        ]
    )
    best = best_over_all_matchings(overlap)
    iou = matched_iou_score(labels_true, labels_pred, average=None)
    assert iou.shape == (n_classes,)
    assert iou.sum() == pytest.approx(best)
    for c in range(n_classes):
        assert np.min(np.abs(np.r_[0, overlap[c]] - iou[c])) < 1e-12
    macro = matched_iou_score(labels_true, labels_pred)
    assert macro == pytest.approx(best / n_classes)


# Behaviour of all scores of two labelings


@pytest.mark.parametrize("score", ALL_SCORES)
def test_equal_partitions_with_other_names_score_one(score):
    labels_true = np.array([0, 0, 1, 2, 2, 2])
    names = np.array(["fox", "ant", "cow"])
    np.testing.assert_array_equal(score(labels_true, names[labels_true]), 1)


@pytest.mark.parametrize("score", ALL_SCORES)
def test_scores_do_not_depend_on_names(score):
    labels_true, labels_pred = labels_of_shape(3, 4)
    expected = score(labels_true, labels_pred)
    for classes, clusters in [
        ([2, 0, 1], [3, 1, 0, 2]),
        ([-1, 7, 10**12], [-5, -1, 0, 3]),
        (["b", "c", "a"], ["w", "", "zz", "y"]),
        ([0.0, 1.0, 2.0], [3.0, 2.0, 1.0, 0.0]),
    ]:
        renamed = np.array(classes)[labels_true], np.array(clusters)[labels_pred]
        assert score(*renamed) == pytest.approx(expected)
        assert score(*map(list, renamed)) == pytest.approx(expected)
        as_objects = [labels.astype(object) for labels in renamed]
        assert score(*as_objects) == pytest.approx(expected)


@pytest.mark.parametrize("score", ALL_SCORES)
def test_scores_accept_booleans(score):
    labels_true, labels_pred = labels_of_shape(2, 2)
    expected = score(labels_true, labels_pred)
    assert score(labels_true == 1, labels_pred == 1) == pytest.approx(expected)


@pytest.mark.parametrize("score", ALL_SCORES)
@pytest.mark.parametrize(
    ("labels_true", "labels_pred"),
    [
        ([0], [0]),
        ([0, 0, 0], [1, 1, 1]),
        ([0, 1, 2], [0, 0, 0]),
        ([0, 0, 0], [0, 1, 2]),
        ([0, 1, 2], [2, 1, 0]),
    ],
)
def test_scores_are_finite_on_degenerate_partitions(score, labels_true, labels_pred):
    values = np.asarray(score(labels_true, labels_pred))
    assert np.all((values >= 0) & (values <= 1))


@pytest.mark.parametrize("score", SCORES)
def test_scores_are_python_floats(score):
    assert type(score([0, 0, 1], [0, 1, 1])) is float


def test_matching_of_large_tables_is_that_of_small_ones(monkeypatch):
    shapes = [(40, 30), (30, 40), (35, 35)]
    labels = [labels_of_shape(*shape, n_samples=120) for shape in shapes]
    expected = [(score(*y), matched_iou_score(*y)) for y in labels for score in SCORES]
    monkeypatch.setattr(_matching, "_MAX_CELLS", 0)
    found = [(score(*y), matched_iou_score(*y)) for y in labels for score in SCORES]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_thousands_of_clusters_are_matched_without_a_dense_table():
    rows = np.arange(3000)
    assert clustering_accuracy_score(rows, rows[::-1]) == 1
    assert matched_iou_score(rows, rows // 2, average=None).sum() == 750


# Errors


@pytest.mark.parametrize("score", ALL_SCORES)
def test_empty_labels_raise(score):
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        score([], [])


@pytest.mark.parametrize("score", ALL_SCORES)
def test_labels_of_different_lengths_raise(score):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        score([0, 1], [0, 1, 1])


@pytest.mark.parametrize("score", ALL_SCORES)
def test_two_dimensional_labels_raise(score):
    with pytest.raises(ValueError, match="labels_pred must be 1D"):
        score([0, 1], [[0, 1], [1, 0]])


@pytest.mark.parametrize("score", ALL_SCORES)
def test_missing_labels_raise(score):
    for missing in (None, np.nan, np.datetime64("NaT", "s")):
        with pytest.raises(ValueError, match="labels_true has missing values"):
            score(np.array([missing, missing]), [0, 1])
    for labels in (["a", np.nan], *(pd.Series(["a", None], dtype=t) for t in TEXTS)):
        with pytest.raises(ValueError, match="labels_pred has missing values"):
            score([0, 1], labels)


@pytest.mark.parametrize("score", ALL_SCORES)
def test_labels_may_be_of_several_types(score):
    labels = [1, "1", 2.5, "a", 2.5, True]
    assert score(labels, [0, 1, 2, 3, 2, 0]) == score(labels, labels)
    assert score(pd.Series(labels), [0, 1, 2, 2, 2, 0]) != score(labels, labels)


@pytest.mark.parametrize("score", ALL_SCORES)
def test_continuous_labels_warn_at_the_line_of_the_caller(score):
    with pytest.warns(UserWarning, match="labels_pred holds fractions") as record:
        score([0, 1], [0.25, 0.75])
    assert record[0].filename == __file__


@pytest.mark.parametrize("average", ["micro", 1, "", np.array([1, 2])])
def test_unknown_average_raises(average):
    with pytest.raises(ValueError, match=r"'average' parameter .* must be 'macro'"):
        matched_iou_score([0, 1], [0, 1], average=average)


class Kind(Enum):
    A, B, C = "a", "b", "c"


@pytest.mark.parametrize(
    "labels",
    [
        [2**63 + 5, 2**63 + 6, -1],
        [2**53 + 1, 2**53, 0.0],
        ["a\0", "a", ""],
        [Kind.C, Kind.A, Kind.B],
        [1, "1", Kind.A],
    ],
    ids=str,
)
def test_distinct_labels_of_any_type_stay_distinct(labels):
    as_objects = np.array(labels, dtype=object)
    for given in (labels * 4, np.tile(as_objects, 4)):
        assert clustering_accuracy_score([0, 1, 2] * 4, given) == 1


LONG_TEXT = [np.dtypes.StringDType()] if hasattr(np.dtypes, "StringDType") else []


@pytest.mark.parametrize("dtype", ["U", "S", object, *LONG_TEXT], ids=str)
def test_text_of_any_type_is_a_label(dtype):
    labels = np.array(["one", "", "other"] * 4).astype(dtype)
    assert clustering_accuracy_score([0, 1, 2] * 4, labels) == 1
