import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from skdeep.metrics import inception_score


@pytest.fixture
def probabilities():
    return softmax(3 * np.random.RandomState(0).normal(size=(60, 5)), axis=1)


def naive(p):
    mean = [sum(row[c] for row in p) / len(p) for c in range(len(p[0]))]
    total = sum(
        row[c] * np.log(row[c] / mean[c])
        for row in p
        for c in range(len(mean))
        if row[c] > 0
    )
    return np.exp(total / len(p))


def test_worked_example():
    # p(y) = (1/2, 1/2), and each row has a divergence of log 2 - H(3/4, 1/4).
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    expected = 2 / np.exp(entropy)
    assert inception_score([[0.75, 0.25], [0.25, 0.75]]) == pytest.approx(expected)


def test_score_equals_the_mean_divergence_of_a_loop(probabilities):
    assert inception_score(probabilities) == pytest.approx(naive(probabilities))
    with_zeros = np.where(probabilities < 0.1, 0, probabilities)
    with_zeros /= with_zeros.sum(axis=1, keepdims=True)
    assert inception_score(with_zeros) == pytest.approx(naive(with_zeros))


@pytest.mark.parametrize("n_classes", [1, 2, 7])
def test_one_sure_row_of_each_class_scores_their_number(n_classes):
    score = inception_score(np.tile(np.eye(n_classes), (3, 1)))
    assert score == pytest.approx(n_classes)


@pytest.mark.parametrize("row", [[1, 0, 0], [0.5, 0.3, 0.2], [1 / 3, 1 / 3, 1 / 3]])
def test_equal_rows_score_one(row):
    assert inception_score([row] * 10) == pytest.approx(1.0)
    assert inception_score([row] * 10) >= 1.0


def test_one_row_scores_one():
    assert inception_score([[0.2, 0.8]]) == 1.0


def test_sure_rows_of_two_classes_of_ten_score_two():
    assert inception_score(np.eye(10)[[3, 7, 3, 7]]) == pytest.approx(2.0)


def test_order_of_rows_and_of_classes_does_not_matter(probabilities):
    score = inception_score(probabilities)
    assert inception_score(probabilities[::-1]) == pytest.approx(score)
    assert inception_score(probabilities[:, ::-1]) == pytest.approx(score)


def test_a_classifier_gives_the_probabilities():
    X, y = load_digits(return_X_y=True)
    classifier = LogisticRegression(max_iter=5000).fit(X[:600] / 16, y[:600])
    real = inception_score(X[600:] / 16, classifier=classifier)
    assert real == inception_score(classifier.predict_proba(X[600:] / 16))
    noise = np.random.RandomState(0).uniform(size=(500, 64))
    assert inception_score(noise, classifier=classifier) + 2 < real
    one_class = X[600:][y[600:] == 3] / 16
    assert inception_score(one_class, classifier=classifier) < 2 < 5 < real < 10


def test_parts_are_consecutive_rows(probabilities):
    scores = inception_score(probabilities, n_splits=4)
    parts = np.split(probabilities, 4)
    np.testing.assert_allclose(scores, [naive(part) for part in parts])
    assert inception_score(probabilities, n_splits=1).shape == (1,)


def test_frames_and_what_cannot_be_written_to_are_taken_and_left(probabilities):
    given = 1.001 * probabilities
    kept = given.copy()
    expected = inception_score(given)
    np.testing.assert_array_equal(given, kept)
    given.flags.writeable = False
    assert inception_score(given) == expected
    assert inception_score(pd.DataFrame(given)) == pytest.approx(expected)


def test_score_is_a_python_float(probabilities):
    assert type(inception_score(probabilities)) is float


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_probabilities_of_less_precision_are_taken(probabilities, dtype):
    rounded = probabilities.astype(dtype)
    expected = pytest.approx(naive(probabilities), rel=1e-2)
    assert inception_score(rounded) == expected


@pytest.mark.parametrize("X", [[[0.5, 0.6]], [[2.0, -1.0]], [[3.0, 4.0]], [[0, 0]]])
def test_rows_that_are_no_probabilities_raise(X):
    with pytest.raises(ValueError, match=r"sum to 1.*classifier="):
        inception_score(X)


def test_missing_values_raise():
    with pytest.raises(ValueError, match="contains NaN"):
        inception_score([[np.nan, 1.0]])


@pytest.mark.parametrize("classifier", [LinearSVC(), LogisticRegression.fit, "svc"])
def test_a_classifier_without_probabilities_raises(classifier):
    with pytest.raises(TypeError, match="implementing 'predict_proba' or None"):
        inception_score([[0.0, 1.0]], classifier=classifier)


@pytest.mark.parametrize("n_splits", [0, 4, 1.5, True, "2"])
def test_parts_that_are_no_number_of_rows_raise(n_splits):
    with pytest.raises(ValueError, match=r"'n_splits' parameter.*from 1 to.* 3"):
        inception_score(np.eye(3), n_splits=n_splits)
