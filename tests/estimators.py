"""The one list of estimators that every generic test iterates."""

import pytest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from skdeep.cluster import (
    AEKMeans,
    DCNClusterer,
    DECClusterer,
    IDECClusterer,
    NClustersSearch,
    SCANClusterer,
    VaDEClusterer,
)
from skdeep.compose import TabularEncoder, make_sampler_pipeline
from skdeep.generative import (
    DiffusionSampler,
    FlowSampler,
    GANSampler,
    VAESampler,
)
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    FineTunedClassifier,
    SimCLRTransformer,
)

# Of ten rows and four clusters, early exaggeration would put some upon each other, and
# VaDE would warn that a cluster ended without rows.
SMALL = AutoencoderTransformer(
    2,
    hidden_layer_sizes=(16,),
    early_exaggeration=1,
    max_iter=3,
    learning_rate=3e-2,
    batch_size=32,
)

SMALL_DEEP = {"max_iter": 3, "n_init": 2}

# Four clusters: scikit-learn's check of sparse input wants of all that predict_proba as
# many columns as its y has classes, four, of clusterers too.
CLUSTERERS = [
    AEKMeans(4, autoencoder=SMALL, n_init=2),
    DECClusterer(4, autoencoder=SMALL, **SMALL_DEEP),
    IDECClusterer(4, autoencoder=SMALL, **SMALL_DEEP),
    DCNClusterer(4, autoencoder=SMALL, **SMALL_DEEP),
    SCANClusterer(4, encoder=SMALL, self_label_iter=2, batch_size=32, **SMALL_DEEP),
    VaDEClusterer(4, autoencoder=SMALL, **SMALL_DEEP),
]

SEARCHES = [
    NClustersSearch(
        DECClusterer(autoencoder=SMALL, **SMALL_DEEP),
        min_clusters=4,
        max_clusters=4,
    )
]
"""Those that fit a clusterer: its parameters are behind `clusterer__`."""

TRANSFORMERS = [
    SMALL,
    DeepInfoMaxTransformer(2, n_units=8, max_iter=3, batch_size=32),
    SimCLRTransformer(2, max_iter=3, batch_size=32),
]

CLASSIFIERS = [FineTunedClassifier(SMALL, max_iter=3, frozen_iter=4, batch_size=32)]

SMALL_SAMPLER = {"hidden_layer_sizes": (16,), "max_iter": 3, "batch_size": 32}

SAMPLERS = [
    VAESampler(
        2,
        hidden_layer_sizes=(16,),
        beta=0.1,
        max_iter=8,
        batch_size=32,
        learning_rate=1e-2,
    ),
    FlowSampler(n_couplings=2, **SMALL_SAMPLER),
    DiffusionSampler(n_steps=5, **SMALL_SAMPLER),
    GANSampler(2, **SMALL_SAMPLER),
]

ESTIMATORS = [*TRANSFORMERS, *CLUSTERERS, *SEARCHES, *CLASSIFIERS, *SAMPLERS]
"""One instance of every public estimator, with a budget of a second."""

PIPELINES = [
    make_sampler_pipeline(StandardScaler(), KernelDensity()),
    make_sampler_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
]
"""The estimator that is made of others: what it owes beside, its own tests know."""


ENCODERS = [TabularEncoder()]
"""Transformers without a training: no seed, no history, no epochs."""


def name_of(estimator):
    """Name of a parametrised test."""
    return type(estimator).__name__


def inner_parameter(clusterer):
    """Name of the parameter that holds what a clusterer pretrains."""
    if clusterer in SEARCHES:
        return f"clusterer__{inner_parameter(clusterer.clusterer)}"
    return "encoder" if "encoder" in clusterer.get_params() else "autoencoder"


BRIEF_FITS_WARN = [
    pytest.mark.filterwarnings("ignore:GANSampler generates rows near"),
    pytest.mark.filterwarnings("ignore:VAESampler. the posterior has collapsed"),
    pytest.mark.filterwarnings("ignore:.* ended with . of . clusters"),
]
"""Marks of tests whose fits are too brief to be good."""
