import math

import pytest
import torch
from torch import Generator, nn

from skdeep.nn import MLP, ConvDecoder, ConvEncoder, Network, initialized

IMAGES = {"image_shape": (2, 9, 6), "channels": (8, 16), "n_components": 5}
KINDS = [
    (MLP, {"sizes": (12, 40, 30, 5)}),
    (ConvEncoder, IMAGES),
    (ConvDecoder, IMAGES),
]
every_kind = pytest.mark.parametrize(
    ("kind", "arguments"), KINDS, ids=[kind.__name__ for kind, _ in KINDS]
)


def built(kind, arguments, seed=0):
    return initialized(kind, Generator().manual_seed(seed), **arguments)


def layers(network):
    return [layer for layer in network.modules() if hasattr(layer, "weight")]


@every_kind
def test_weights_depend_on_the_generator_alone(kind, arguments):
    first = built(kind, arguments, seed=3).state_dict()
    torch.rand(7)  # the global generator moves on
    second = built(kind, arguments, seed=3).state_dict()
    other = built(kind, arguments, seed=4).state_dict()
    for name, weight in first.items():
        assert torch.equal(weight, second[name])
        assert not torch.equal(weight, other[name])


@every_kind
def test_global_generator_stays_untouched(kind, arguments):
    before = torch.get_rng_state()
    built(kind, arguments)
    assert torch.equal(before, torch.get_rng_state())


def test_generator_moves_on_between_networks():
    rng = Generator().manual_seed(0)
    first, second = (initialized(MLP, rng, sizes=(3, 2)) for _ in range(2))
    assert not torch.equal(first.layers[0].weight, second.layers[0].weight)


@every_kind
def test_weights_fill_the_interval_around_zero(kind, arguments):
    network = built(kind, arguments)
    found = layers(network)
    assert sum(1 for layer in found for _ in layer.parameters()) == len(
        list(network.parameters())
    )
    for layer in found:
        # What one output sums over: of a transposed convolution, as torch counts it,
        # the kernel times the channels that go out.
        bound = 1 / math.sqrt(layer.weight[0].numel())
        for parameter in layer.parameters():
            assert torch.isfinite(parameter).all()
            assert parameter.abs().max() <= bound
        assert layer.weight.max() > 0.9 * bound
        assert layer.weight.min() < -0.9 * bound
        assert abs(layer.weight.mean()) < 0.15 * bound


@every_kind
def test_bounds_are_those_of_torch(kind, arguments):
    with torch.random.fork_rng(devices=[]):
        reference = kind(**arguments)
    for layer in layers(reference):
        bound = 1 / math.sqrt(layer.weight[0].numel())
        for parameter in layer.parameters():
            assert parameter.abs().max() <= bound * (1 + 1e-6)
        assert layer.weight.abs().max() > 0.9 * bound


@every_kind
def test_built_network_can_be_trained_on_the_cpu(kind, arguments):
    for parameter in built(kind, arguments).parameters():
        assert parameter.device.type == "cpu"
        assert parameter.dtype == torch.float32
        assert parameter.requires_grad


def test_layer_without_bias_is_initialised():
    class Linear(MLP):
        def __init__(self, sizes):
            super().__init__(sizes)
            self.layers = nn.Linear(*sizes, bias=False)

    network = built(Linear, {"sizes": (9, 4)})
    assert network.layers.weight.abs().max() <= 1 / 3


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.empty(3))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: nn.Conv1d(2, 3, 1), "Conv1d"),
        (lambda: nn.Embedding(4, 3), "Embedding"),
        (lambda: nn.ParameterList([torch.empty(3)]), "ParameterList"),
        (Scaled, "Scaled"),
        (lambda: nn.Sequential(nn.Linear(3, 2), Scaled()), "Scaled"),
        (lambda: nn.Parameter(torch.empty(3)), "Own"),
    ],
)
def test_layer_of_which_no_start_is_known_is_refused(make, name):
    class Own(Network):
        def __init__(self):
            super().__init__(3)
            self.part = make()

    with pytest.raises(TypeError, match=f"parameters and buffers of {name} in Own"):
        initialized(Own, Generator())
