"""Fits and predictions keep together what is on one device."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from skdeep.cluster import AEKMeans, DECClusterer, IDECClusterer, SCANClusterer
from skdeep.generative import DiffusionSampler, FlowSampler, GANSampler, VAESampler
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    SimCLRTransformer,
)
from tests.estimators import BRIEF_FITS_WARN, ESTIMATORS, SMALL, name_of
from tests.pretended_gpu import PretendedGenerator, pretended_gpu
from tests.test_common import X, outputs, y

pytestmark = BRIEF_FITS_WARN

IMAGES = load_digits().images[:60].reshape(-1, 1, 8, 8)

BRIEF = {"max_iter": 2, "random_state": 0}

OF_IMAGES = [
    AutoencoderTransformer(3, **BRIEF),
    DeepInfoMaxTransformer(4, prior_weight=0.1, **BRIEF),
    SimCLRTransformer(4, **BRIEF),
    SCANClusterer(3, encoder=SimCLRTransformer(4, **BRIEF), self_label_iter=1, **BRIEF),
    VAESampler(2, likelihood="bernoulli", **BRIEF),
    GANSampler(2, conditional=True, **BRIEF),
    DiffusionSampler(hidden_layer_sizes=(4, 4), n_timesteps=10, **BRIEF),
]

OTHERS = [
    AutoencoderTransformer(
        2, corruption=0.3, mask_weight=0.5, neighbor_weight=0, **BRIEF
    ),
    AutoencoderTransformer(2, network="attention", hidden_layer_sizes=(8, 8), **BRIEF),
    DECClusterer(
        3, autoencoder=SMALL, pseudo_label_weight=0.5, n_runs=2, n_init=2, **BRIEF
    ),
    AEKMeans(3, autoencoder=DeepInfoMaxTransformer(4, **BRIEF), random_state=0),
    VAESampler(2, variance="learned", **BRIEF),
    *(FlowSampler(coupling=c, **BRIEF) for c in ("additive", "affine")),
]


@pytest.fixture
def gpu(monkeypatch):
    with pretended_gpu(monkeypatch):
        yield torch.device("cuda")


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *OTHERS], ids=name_of)
@pytest.mark.usefixtures("gpu")
def test_fits_mix_no_devices(estimator):
    model = clone(estimator).set_params(random_state=0).fit(X, y)
    assert all(np.isfinite(found).all() for found in outputs(model).values())
    if hasattr(model, "inverse_transform") and hasattr(model, "transform"):
        model.inverse_transform(model.transform(X))


@pytest.mark.parametrize("estimator", OF_IMAGES, ids=name_of)
@pytest.mark.usefixtures("gpu")
def test_fits_of_images_mix_no_devices(estimator):
    model = clone(estimator).fit(IMAGES, np.arange(len(IMAGES)) % 2)
    assert all(np.isfinite(found).all() for found in outputs(model, IMAGES).values())


@pytest.mark.parametrize("Clusterer", [DECClusterer, IDECClusterer])
@pytest.mark.usefixtures("gpu")
def test_parts_of_a_stream_mix_no_devices(Clusterer):
    model = Clusterer(3, autoencoder=SMALL, n_init=2, **BRIEF).partial_fit(X[:30])
    assert len(model.partial_fit(X[30:]).predict(X)) == len(X)


# the pretence itself


def test_tensors_say_where_they_were_put(gpu):
    x = torch.ones(3, device=gpu)
    assert x.device.type == (2 * x[1:]).device.type == torch.zeros_like(x).device.type
    assert x.device.type == torch.ones(3).to(x).device.type == "cuda"
    assert x.cpu().device.type == torch.ones(3).device.type == "cpu"
    assert (x + torch.tensor(1.0)).device.type == "cuda"  # numbers may be anywhere


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.ones(3) @ x,
        lambda x: torch.where(x > 0, x, torch.from_numpy(np.ones(3))),
        lambda x: x.numpy(),
        lambda x: torch.rand(3, generator=PretendedGenerator(), device=x.device),
        lambda _: torch.rand(3, generator=PretendedGenerator("cuda")),
    ],
)
def test_mistakes_of_devices_are_found(gpu, mistake):
    with pytest.raises((RuntimeError, TypeError), match=r"GPU|another device"):
        mistake(torch.ones(3, device=gpu))
