import math

import pytest
import torch
from torch import Generator, nn
from torch.nn.functional import conv2d

from skdeep.nn import ConvDecoder, ConvEncoder, initialized

SHAPES = [(1, 1, 1), (1, 5, 7), (3, 5, 7), (1, 8, 8), (3, 1, 9), (1, 28, 28)]
every_shape = pytest.mark.parametrize("image_shape", SHAPES, ids=str)
every_depth = pytest.mark.parametrize("channels", [(), (4,), (2, 4, 6)], ids=str)


def networks(image_shape, channels, n_components=3, seed=0):
    rng = Generator().manual_seed(seed)
    arguments = {
        "image_shape": image_shape,
        "channels": channels,
        "n_components": n_components,
    }
    encoder = initialized(ConvEncoder, rng, **arguments)
    return encoder, initialized(ConvDecoder, rng, **arguments)


def images(image_shape, n=4):
    return torch.randn(n, math.prod(image_shape), generator=Generator().manual_seed(0))


def image_sizes(network, x):
    """(channels, height, width) before and after each convolution of a pass."""
    sizes = []

    def record(_, inputs, output):
        sizes.append((tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    handles = [layer.register_forward_hook(record) for layer in layers]
    network(x)
    for handle in handles:
        handle.remove()
    return sizes


@every_shape
@every_depth
@pytest.mark.parametrize("n", [1, 4])
def test_shapes(image_shape, channels, n, device):
    encoder, decoder = networks(image_shape, channels)
    x = images(image_shape, n).to(device)
    z = encoder.to(device)(x)
    assert z.shape == (n, 3)
    assert decoder.to(device)(z).shape == x.shape
    assert encoder.n_outputs == 3
    assert decoder.n_outputs == math.prod(image_shape)


@every_shape
@every_depth
def test_decoder_mirrors_the_encoder(image_shape, channels):
    encoder, decoder = networks(image_shape, channels)
    x = images(image_shape)
    down, up = image_sizes(encoder, x), image_sizes(decoder, encoder(x))
    assert len(down) == len(channels)
    assert [(after, before) for before, after in down] == up[::-1]
    kernels = [
        [p.shape for p in network.parameters() if p.ndim == 4]
        for network in (encoder, decoder)
    ]
    assert kernels[0] == kernels[1][::-1]


@every_shape
def test_each_convolution_halves_the_sides_upwards(image_shape):
    encoder, _ = networks(image_shape, (2, 4, 6))
    for (_, *before), (_, *after) in image_sizes(encoder, images(image_shape)):
        assert after == [math.ceil(side / 2) for side in before]


def test_flat_rows_are_images_by_channel_row_and_column():
    encoder, _ = networks((3, 5, 7), (4,))
    x = images((3, 5, 7))
    kernel, bias, W, b = encoder.parameters()
    hidden = conv2d(x.reshape(-1, 3, 5, 7), kernel, bias, stride=2, padding=1)
    expected = hidden.clamp_min(0).flatten(1) @ W.T + b
    torch.testing.assert_close(encoder(x), expected)


def test_input_is_not_changed():
    encoder, decoder = networks((1, 5, 7), (4,))
    x = images((1, 5, 7))
    before = x.clone()
    z = encoder(x).detach()
    kept = z.clone()
    decoder(z)
    assert torch.equal(x, before)
    assert torch.equal(z, kept)


@every_shape
@pytest.mark.parametrize("channels", [(), (16,), (16, 16, 16)], ids=str)
def test_every_parameter_receives_a_gradient(image_shape, channels, device):
    encoder, decoder = networks(image_shape, channels)
    encoder, decoder = encoder.to(device), decoder.to(device)
    x = images(image_shape, n=32).to(device)
    (decoder(encoder(x)) - x).square().sum().backward()
    for network in (encoder, decoder):
        assert len(list(network.parameters())) == 2 * (len(channels) + 1)
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
