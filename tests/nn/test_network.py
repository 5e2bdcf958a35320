import json

import pytest
import torch
from torch import Generator

from skdeep.nn import (
    MLP,
    NETWORKS,
    AttentionEncoder,
    ColumnEncoder,
    ConcatenateCritic,
    ConvDecoder,
    ConvEncoder,
    DotCritic,
    Flow,
    ImageDiscriminator,
    ImageEncoder,
    ImageGenerator,
    MLPDenoiser,
    Network,
    UNetDenoiser,
    initialized,
)

IMAGES = {"image_shape": (1, 7, 6), "channels": (4, 8), "n_components": 5}
KINDS = [
    (MLP, {"sizes": (42, 32, 5)}, 42),
    (ConvEncoder, IMAGES, 42),
    (ConvDecoder, IMAGES, 5),
    (ImageEncoder, {**IMAGES, "channels": (4, 8, 8), "n_hidden": 16}, 42),
    (
        ColumnEncoder,
        {
            "n_features": 42,
            "n_local": 4,
            "hidden_layer_sizes": (32,),
            "n_components": 5,
        },
        42,
    ),
    (
        AttentionEncoder,
        {"n_features": 42, "hidden_layer_sizes": (32,), "n_components": 5},
        42,
    ),
]
every_kind = pytest.mark.parametrize(
    ("kind", "arguments", "n_inputs"), KINDS, ids=[kind.__name__ for kind, *_ in KINDS]
)


def built(kind, arguments):
    return initialized(kind, Generator().manual_seed(0), **arguments)


def rows(n_inputs, n=16):
    return torch.randn(n, n_inputs, generator=Generator().manual_seed(1))


def test_every_network_is_registered_by_its_name():
    critics = {ConcatenateCritic, DotCritic}  # of two inputs: see their own tests
    samplers = {Flow, ImageDiscriminator, ImageGenerator, MLPDenoiser, UNetDenoiser}
    kinds = {kind for kind, *_ in KINDS}
    assert kinds | critics | samplers == set(NETWORKS.values())
    for name, network in NETWORKS.items():
        assert name == network.__name__
        assert issubclass(network, Network)


@every_kind
def test_arguments_build_the_network_again(kind, arguments, n_inputs):
    network = built(kind, arguments)
    assert json.loads(json.dumps(network.arguments)) == network.arguments
    again = kind(**network.arguments)
    again.load_state_dict(network.state_dict())
    x = rows(n_inputs)
    assert torch.equal(again(x), network(x))


@every_kind
def test_products_are_float32_unless_told_otherwise(kind, arguments, n_inputs):
    network = built(kind, arguments)
    assert network.product_dtype is torch.float32
    x = rows(n_inputs)
    assert torch.equal(network(x), network.map(x))


@every_kind
def test_bfloat16_products_come_out_as_float32_near_the_exact_ones(
    kind, arguments, n_inputs, device
):
    network, x = built(kind, arguments).to(device), rows(n_inputs).to(device)
    exact = network(x)
    network.product_dtype = torch.bfloat16
    rounded = network(x)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    # bfloat16 has eight bits: a relative error of 2^-8 for each of three layers.
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)


@every_kind
def test_bfloat16_products_leave_weights_and_gradients_in_float32(
    kind, arguments, n_inputs, device
):
    network, x = built(kind, arguments).to(device), rows(n_inputs).to(device)
    network(x).square().mean().backward()
    exact = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    network.product_dtype = torch.bfloat16
    network(x).square().mean().backward()
    for parameter, gradient in zip(network.parameters(), exact, strict=True):
        assert parameter.dtype == parameter.grad.dtype == torch.float32
        torch.testing.assert_close(parameter.grad, gradient, rtol=0.05, atol=0.02)


@every_kind
def test_bfloat16_products_follow_the_weights_inside_of_other_contexts(
    kind, arguments, n_inputs, device
):
    network, x = built(kind, arguments).to(device), rows(n_inputs).to(device)
    network.product_dtype = torch.bfloat16
    with torch.autocast(device.type, enabled=False):  # as around a whole fit
        before = network(x)
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(2)
        after = network(x)
    assert not torch.equal(before, after)
    assert torch.equal(after, network(x))


@every_kind
@pytest.mark.parametrize("inferring", [torch.no_grad, torch.inference_mode])
def test_products_are_float32_where_no_gradient_is_recorded(
    kind, arguments, n_inputs, inferring, device
):
    network, x = built(kind, arguments).to(device), rows(n_inputs).to(device)
    with inferring():
        exact = network(x)
        network.product_dtype = torch.bfloat16
        assert torch.equal(network(x), exact)


def test_product_type_is_no_part_of_the_state():
    network = built(MLP, {"sizes": (4, 2)})
    names = set(network.state_dict())
    network.product_dtype = torch.bfloat16
    assert set(network.state_dict()) == names
    assert "product_dtype" not in network.arguments
