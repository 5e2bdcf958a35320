"""Coherence of the terms of a topic."""

from typing import Any

import numpy as np
from sklearn.utils import check_array

from skdeep.tables import numpy_of


def npmi_coherence_score(X: Any, terms: Any) -> np.ndarray:
    r"""Coherence of topics: how often their terms share a document.

    With :math:`p(a)` the share of the documents that hold term a and :math:`p(a, b)`
    that of those which hold both, the coherence of a topic is the mean over the pairs
    of its terms of the normalised pointwise mutual information

    .. math:: \mathrm{NPMI}(a, b) = \frac{\log p(a, b) - \log p(a) p(b)}
                                         {- \log p(a, b)}

    which is 1 for terms that only occur together, 0 for independent ones and -1 for
    those that never meet.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_documents, n_terms)
        Counts or weights: a document holds the terms that are not zero. Those that
        were clustered, or better a larger corpus.
    terms : array-like of int of shape (n_topics, n_top_terms)
        Column numbers of the terms of each topic, at least two; -1 stands for none.

    Returns
    -------
    coherence : ndarray of shape (n_topics,)
        Between -1 and 1, larger is better; NaN for a topic of less than two terms.

    Raises
    ------
    ValueError
        If `terms` is not a table of column numbers of X.

    See Also
    --------
    skdeep.cluster.cluster_terms : Finds the terms of the clusters of documents.

    Notes
    -----
    Time in O(n_topics * n_documents * n_top_terms ** 2) at most; sparse input is never
    densified but for the terms asked for.

    References
    ----------
    .. [1] G. Bouma, "Normalized (Pointwise) Mutual Information in Collocation
       Extraction", GSCL 2009.
    .. [2] J. H. Lau, D. Newman, T. Baldwin, "Machine Reading Tea Leaves: Automatically
       Evaluating Topic Coherence and Topic Model Quality", EACL 2014.

    Examples
    --------
    >>> from skdeep.metrics import npmi_coherence_score
    >>> X = [[1, 1, 0, 1], [2, 3, 0, 0], [0, 0, 1, 1], [0, 0, 4, 0]]
    >>> npmi_coherence_score(X, [[0, 1], [0, 2], [0, 3]])
    array([ 1., -1.,  0.])
    """
    X = check_array(numpy_of(X), accept_sparse="csc", input_name="X")
    try:
        terms = np.asarray(numpy_of(terms))
    except ValueError as error:
        raise ValueError(
            "npmi_coherence_score needs terms of as many column numbers for each "
            "topic: fill up those of fewer terms with -1."
        ) from error
    if terms.ndim != 2 or terms.dtype.kind not in "iu":
        raise ValueError(
            "npmi_coherence_score needs terms of shape (n_topics, n_top_terms), column "
            f"numbers of X. Got an array of shape {terms.shape} and type {terms.dtype}."
        )
    if terms.size and (terms.min() < -1 or terms.max() >= X.shape[1]):
        raise ValueError(
            "npmi_coherence_score needs terms that are column numbers from 0 to "
            f"{X.shape[1] - 1}, or -1 for none. Got {terms.min()} to {terms.max()}."
        )
    return np.array([_coherence(X, topic[topic >= 0]) for topic in terms])


def _coherence(X: Any, topic: np.ndarray) -> float:
    if len(topic) < 2:
        return np.nan
    held = X[:, topic]
    held = np.asarray(held if isinstance(held, np.ndarray) else held.toarray()) != 0
    together = held.T.astype(float) @ held / len(held)
    first, second = np.triu_indices(len(topic), k=1)
    both, alone = together[first, second], np.diag(together)
    expected = alone[first] * alone[second]
    npmi = np.full(len(both), -1.0)
    npmi[both == 1] = 1.0
    some = (both > 0) & (both < 1)
    npmi[some] = np.log(both[some] / expected[some]) / -np.log(both[some])
    return float(npmi.mean())
