"""Warnings name the line of the user, however deep inside they arise."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeep import (
    AEKMeans,
    AutoencoderTransformer,
    DECClusterer,
    GANSampler,
    SimCLRTransformer,
)
from skdeep.callbacks import EarlyStopping

X = load_iris().data[:40]
SMALL = AutoencoderTransformer(2, hidden_layer_sizes=(4,), max_iter=1)
ALIKE = np.ones((9, 4))


def no_clusters(model):
    return model.set_params(n_clusters=3, n_init=1, random_state=0)


@pytest.mark.parametrize(
    ("message", "fit"),
    [
        ("without rows", lambda: no_clusters(AEKMeans(3)).fit(ALIKE)),
        (
            "without rows",
            lambda: no_clusters(DECClusterer(3, autoencoder=SMALL)).fit(ALIKE),
        ),
        (
            "keeps nothing",
            lambda: AEKMeans(2, autoencoder=SMALL, memory="unused").fit(X),
        ),
        ("collapsed", lambda: SimCLRTransformer(8, max_iter=1).fit(ALIKE)),
        ("collapsed", lambda: GANSampler(max_iter=1, random_state=0).fit(X)),
        ("channels", lambda: SMALL.fit(np.zeros((4, 5, 5, 3)))),
        (
            "stopped nothing",
            lambda: (
                AutoencoderTransformer(2, max_iter=1)
                .set_callbacks(EarlyStopping(phase="none"))
                .fit(X)
            ),
        ),
        (
            "without rows",
            lambda: make_pipeline(StandardScaler(), AEKMeans(3, n_init=1)).fit(ALIKE),
        ),
        (
            "without rows",
            lambda: cross_validate(AEKMeans(3, n_init=1), ALIKE, ALIKE[:, 0], cv=2),
        ),
    ],
)
def test_warnings_name_the_line_of_the_user(message, fit):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        fit()
    files = {w.filename for w in record if message in str(w.message)}
    assert files == {__file__}


def test_a_collapsed_generator_that_is_an_error_leaves_nothing():
    sampler = GANSampler(max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match="collapsed"):
            sampler.fit(X)
    assert not hasattr(sampler, "generator_")
