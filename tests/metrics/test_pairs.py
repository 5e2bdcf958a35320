import numpy as np
import pytest
from sklearn.metrics import fbeta_score, precision_score, recall_score

from skdeep.metrics import pairwise_precision_recall_f_score


def naive_precision_recall_f(labels_true, labels_pred, beta):
    belong, found = [], []
    for i in range(len(labels_true)):
        for j in range(i):
            belong.append(labels_true[i] == labels_true[j])
            found.append(labels_pred[i] == labels_pred[j])
    return (
        precision_score(belong, found),
        recall_score(belong, found),
        fbeta_score(belong, found, beta=beta),
    )


def test_pairs_of_the_example_of_the_textbook():
    # Manning, Raghavan, Schuetze, section 16.3: P = 0.5, R = 0.455, F5 = 0.456.
    labels_true = list("xxxxxo" + "xoooo@" + "xx@@@")
    labels_pred = [0] * 6 + [1] * 6 + [2] * 5
    precision, recall, f = pairwise_precision_recall_f_score(
        labels_true, labels_pred, beta=5
    )
    assert precision == 20 / 40
    assert recall == 20 / 44
    assert f == pytest.approx(0.456, abs=5e-4)


@pytest.mark.parametrize("beta", [1.0, 0.5, 3])
@pytest.mark.parametrize(("n_classes", "n_clusters"), [(3, 3), (2, 5), (5, 2)])
def test_pairs_agree_with_a_loop_over_all_pairs(n_classes, n_clusters, beta):
    rng = np.random.RandomState(0)
    labels_true = rng.randint(n_classes, size=40)
    labels_pred = rng.randint(n_clusters, size=40)
    np.testing.assert_allclose(
        pairwise_precision_recall_f_score(labels_true, labels_pred, beta=beta),
        naive_precision_recall_f(labels_true, labels_pred, beta),
    )


def test_swapping_the_labelings_swaps_precision_and_recall():
    rng = np.random.RandomState(1)
    a, b = rng.randint(4, size=50), rng.randint(3, size=50)
    precision, recall, f = pairwise_precision_recall_f_score(a, b)
    swapped = pairwise_precision_recall_f_score(b, a)
    assert swapped == pytest.approx((recall, precision, f))


@pytest.mark.parametrize(
    ("labels_true", "labels_pred", "expected"),
    [
        ([0], [0], (1, 1, 1)),
        ([0, 1, 2], [5, 6, 7], (1, 1, 1)),
        ([0, 0, 1], [0, 1, 2], (1, 0, 0)),
        ([0, 1, 2], [0, 0, 1], (0, 1, 0)),
        ([0, 0, 1], [0, 1, 1], (0, 0, 0)),
    ],
)
def test_absent_pairs_follow_the_documented_convention(
    labels_true, labels_pred, expected
):
    assert pairwise_precision_recall_f_score(labels_true, labels_pred) == expected


def test_a_million_rows_do_not_overflow():
    n = 10**6
    labels_true = np.arange(n, dtype=np.int32) % 2
    labels_pred = np.zeros(n, dtype=np.int8)
    precision, recall, _ = pairwise_precision_recall_f_score(labels_true, labels_pred)
    assert precision == (n // 2 - 1) / (n - 1)
    assert recall == 1


def test_a_million_classes_and_clusters_stay_sparse():
    rows = np.arange(10**6)
    assert pairwise_precision_recall_f_score(rows, rows // 2) == (0, 1, 0)


def test_f_goes_to_recall_and_precision_as_beta_does():
    labels = [0, 0, 0, 1, 1], [0, 0, 1, 1, 1]
    for labels_true, labels_pred in (labels, ([0, 1, 2], [0, 0, 1])):
        score = pairwise_precision_recall_f_score
        _, recall, f = score(labels_true, labels_pred, beta=1e200)
        assert f == (recall if labels_true is labels[0] else 0)
        precision, _, f = score(labels_true, labels_pred, beta=1e-200)
        assert f == precision


@pytest.mark.parametrize("beta", [0, -1.0, np.inf, np.nan, "1", None])
def test_beta_that_is_not_a_positive_number_raises(beta):
    with pytest.raises(ValueError, match=r"'beta' parameter .* in the range"):
        pairwise_precision_recall_f_score([0, 1], [0, 1], beta=beta)
