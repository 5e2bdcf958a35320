"""The one list of estimators that every generic test iterates."""

from skdeep.cluster import AEKMeans, DECClusterer, IDECClusterer
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    FineTunedClassifier,
    SimCLRTransformer,
)

SMALL = AutoencoderTransformer(
    2, hidden_layer_sizes=(16,), max_iter=20, learning_rate=1e-2, batch_size=32
)

# Four clusters: scikit-learn's check of sparse input wants of all that predict_proba as
# many columns as its y has classes, four, of clusterers too.
CLUSTERERS = [
    AEKMeans(4, autoencoder=SMALL),
    DECClusterer(4, autoencoder=SMALL, max_iter=3),
    IDECClusterer(4, autoencoder=SMALL, max_iter=3),
]

TRANSFORMERS = [
    SMALL,
    DeepInfoMaxTransformer(2, n_units=8, max_iter=3, batch_size=32),
    SimCLRTransformer(2, max_iter=3, batch_size=32),
]

CLASSIFIERS = [FineTunedClassifier(SMALL, max_iter=3, frozen_iter=20, batch_size=32)]

ESTIMATORS = [*TRANSFORMERS, *CLUSTERERS, *CLASSIFIERS]
"""One instance of every public estimator, with a budget of a second."""


def name_of(estimator):
    """Name of a parametrised test."""
    return type(estimator).__name__
