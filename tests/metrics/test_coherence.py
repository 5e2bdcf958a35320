import itertools
from math import log

import numpy as np
import pytest
from scipy import sparse

from skdeep.metrics import npmi_coherence_score


def naive(X, topic):
    scores = []
    for a, b in itertools.combinations(topic, 2):
        with_a, with_b = (
            {i for i, d in enumerate(X) if d[a]},
            {i for i, d in enumerate(X) if d[b]},
        )
        both = len(with_a & with_b) / len(X)
        if both == 0:
            scores.append(-1)
        elif both == 1:
            scores.append(1)
        else:
            expected = len(with_a) * len(with_b) / len(X) ** 2
            scores.append(log(both / expected) / -log(both))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_coherence_agrees_with_a_loop(kind):
    X = np.random.RandomState(0).poisson(0.5, size=(40, 8))
    topics = [[0, 1, 2], [3, 7, 5], [6, 2, 1]]
    found = npmi_coherence_score(kind(X), topics)
    np.testing.assert_allclose(found, [naive(X, topic) for topic in topics])


def test_terms_of_every_document_and_absent_ones_have_bounds():
    X = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(npmi_coherence_score(X, [[0, 1], [0, 2]]), [1, -1])


def test_topics_of_one_term_have_no_coherence():
    X = np.eye(3)
    found = npmi_coherence_score(X, [[0, -1], [0, 1]])
    assert np.isnan(found[0])
    assert found[1] == -1


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ([0, 1], "terms of shape"),
        ([[0.5, 1]], "terms of shape"),
        ([[0, 1], [2]], "npmi_coherence_score needs terms .* fill up"),
        ([[0, 3]], "from 0 to 2"),
        ([[0, -2]], "from 0 to 2"),
    ],
)
def test_bad_terms_are_refused(terms, text):
    with pytest.raises(ValueError, match=text):
        npmi_coherence_score(np.eye(3), terms)
