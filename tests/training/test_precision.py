import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import Generator

from skdeep.generative import DiffusionSampler, GANSampler, VAESampler
from skdeep.nn import MLP, ConvEncoder, initialized
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    SimCLRTransformer,
)
from skdeep.training import precision as module
from skdeep.training.precision import LARGE, resolved_precision

CPU = torch.device("cpu")

FEW = {"max_iter": 5, "batch_size": 50, "random_state": 0}
IMAGES = {"image_shape": (1, 8, 8), **FEW}
TRAINED = {
    "dense": AutoencoderTransformer(4, hidden_layer_sizes=(16,), **FEW),
    "images": AutoencoderTransformer(4, learning_rate=1e-2, **IMAGES),
    "attention": AutoencoderTransformer(
        4, network="attention", hidden_layer_sizes=(8,), learning_rate=1e-2, **FEW
    ),
    "batch norm": DeepInfoMaxTransformer(4, n_units=8, **IMAGES),
    "contrastive": SimCLRTransformer(4, learning_rate=1e-3, **IMAGES),
    "variational": VAESampler(4, early_stopping=False, **IMAGES),
    "adversarial": GANSampler(**IMAGES),
    "denoiser": DiffusionSampler(hidden_layer_sizes=(16,), **FEW),
    "images of a denoiser": DiffusionSampler(hidden_layer_sizes=(8,), **IMAGES),
}


def mlp(*sizes):
    return initialized(MLP, Generator().manual_seed(0), sizes=sizes)


def conv():
    return initialized(
        ConvEncoder,
        Generator().manual_seed(0),
        image_shape=(1, 4, 4),
        channels=(2,),
        n_components=2,
    )


def hardware(monkeypatch, native):
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda _: native)


@pytest.mark.parametrize("native", [False, True])
def test_asked_for_precision_is_taken_on_any_hardware(native, monkeypatch):
    hardware(monkeypatch, native)
    for networks in ([mlp(3, 2)], [mlp(500, 500)], [conv()]):
        assert resolved_precision("float32", CPU, networks) is torch.float32
        assert resolved_precision("bfloat16", CPU, networks) is torch.bfloat16


def test_automatic_precision_is_bfloat16_for_large_or_convolutional_networks(
    monkeypatch,
):
    hardware(monkeypatch, True)
    n = LARGE // 400
    enough = mlp(399, n)  # 399 weights and a bias for each of n outputs
    assert sum(p.numel() for p in enough.parameters()) == LARGE
    small = mlp(398, n)
    assert resolved_precision("auto", CPU, [small]) is torch.float32
    assert resolved_precision("auto", CPU, [enough]) is torch.bfloat16
    assert resolved_precision("auto", CPU, [conv()]) is torch.bfloat16
    assert resolved_precision("auto", CPU, [small, conv()]) is torch.bfloat16


def test_networks_are_counted_together(monkeypatch):
    hardware(monkeypatch, True)
    half = mlp(LARGE // 200, 101)
    assert resolved_precision("auto", CPU, [half]) is torch.float32
    assert resolved_precision("auto", CPU, [half, half]) is torch.bfloat16


def test_automatic_precision_is_float32_without_native_products(monkeypatch):
    hardware(monkeypatch, False)
    for networks in ([mlp(500, 500)], [conv()]):
        assert resolved_precision("auto", CPU, networks) is torch.float32


def test_hardware_is_asked_without_error(device):
    found = resolved_precision("auto", device, [mlp(500, 500)])
    assert found in (torch.float32, torch.bfloat16)
    # Of a device that it does not know, it expects nothing.
    unknown = torch.device("meta")
    assert resolved_precision("auto", unknown, [mlp(500, 500)]) is torch.float32


@pytest.mark.filterwarnings("ignore:GANSampler generates rows near")
@pytest.mark.parametrize("estimator", TRAINED.values(), ids=TRAINED)
def test_networks_of_all_kinds_train_in_bfloat16_as_in_float32(estimator):
    X = load_digits().data[:150] / 16
    exact, rounded = (
        np.array(clone(estimator).set_params(precision=name).fit(X).history_["loss"])
        for name in ("float32", "bfloat16")
    )
    assert abs(rounded - exact).mean() < 0.15 * np.ptp(exact)
