import math

import pytest
import torch
from torch import Generator, nn

from skdeep.nn import ImageDiscriminator, ImageGenerator, initialized
from skdeep.nn.convolution import side_lengths
from skdeep.nn.generator import SMALLEST, Doubling, n_halvings
from skdeep.objectives.adversarial import gradient_penalty

SHAPES = [(1, 1, 1), (1, 2, 2), (3, 7, 9), (1, 8, 8), (1, 28, 28), (3, 32, 32)]
every_shape = pytest.mark.parametrize("image_shape", SHAPES, ids=str)
every_depth = pytest.mark.parametrize("channels", [(), (4,), (2, 16, 6)], ids=str)


def generator(image_shape, channels, n_codes=3, low=-1.0, high=2.0, seed=0):
    return initialized(
        ImageGenerator,
        Generator().manual_seed(seed),
        image_shape=image_shape,
        channels=channels,
        n_codes=n_codes,
        low=low,
        high=high,
    )


def discriminator(image_shape, channels, n_classes=0, seed=1):
    return initialized(
        ImageDiscriminator,
        Generator().manual_seed(seed),
        image_shape=image_shape,
        channels=channels,
        n_classes=n_classes,
    )


def normal(*shape, seed=0, device="cpu"):
    return torch.randn(*shape, generator=Generator().manual_seed(seed)).to(device)


def classes(n, n_classes, device="cpu"):
    return torch.eye(n_classes, device=device)[torch.arange(n) % n_classes]


# shapes


@every_shape
@every_depth
@pytest.mark.parametrize("n", [1, 4])
def test_shapes(image_shape, channels, n, device):
    n_pixels = math.prod(image_shape)
    maker = generator(image_shape, channels).to(device)
    judge = discriminator(image_shape, channels).to(device)
    x = maker(normal(n, 3, device=device))
    assert x.shape == (n, n_pixels)
    assert judge(x).shape == (n, 1)
    assert (maker.n_outputs, judge.n_outputs) == (n_pixels, 1)


@pytest.mark.parametrize(
    ("image_shape", "expected"),
    [
        ((1, 8, 8), [8, 4, 4, 4]),
        ((1, 28, 28), [28, 14, 7, 4]),
        ((3, 32, 32), [32, 16, 8, 4]),
        ((1, 6, 6), [6, 6, 6, 6]),
    ],
)
def test_sides_are_halved_upwards_until_they_are_small(image_shape, expected):
    assert side_lengths(image_shape, 3, SMALLEST) == [(side, side) for side in expected]


@pytest.mark.parametrize(
    ("image_shape", "expected"),
    [((1, 1, 1), 0), ((1, 6, 64), 0), ((1, 8, 8), 1), ((1, 28, 28), 3)],
)
def test_number_of_halvings(image_shape, expected):
    assert n_halvings(image_shape) == expected


@every_shape
def test_generator_mirrors_the_discriminator(image_shape):
    channels = (4, 6, 8)
    maker = generator(image_shape, channels)
    judge = discriminator(image_shape, channels)
    sizes = {}

    def record(name):
        def hook(_, inputs, output):
            sizes.setdefault(name, []).append((inputs[0].shape[1:], output.shape[1:]))

        return hook

    for name, network in (("up", maker), ("down", judge)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(record(name))
    judge(maker(normal(2, 3)))
    assert [(after, before) for before, after in sizes["down"]] == sizes["up"][::-1]


@pytest.mark.parametrize("sides", [(8, 8), (7, 8), (8, 7), (7, 7)])
def test_doubling_is_a_transposed_convolution_without_its_last_pixels(sides):
    layer = Doubling(3, 5, sides)
    x = normal(2, 3, 4, 4)
    whole = nn.functional.conv_transpose2d(x, layer.weight, layer.bias, 2, 1)
    assert whole.shape == (2, 5, 8, 8)
    assert torch.equal(layer(x), whole[..., : sides[0], : sides[1]])


def test_doubling_covers_all_inner_pixels_equally_often():
    layer = Doubling(1, 1, (8, 8))
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    counts = layer(torch.ones(1, 1, 4, 4))[0, 0]
    assert (counts[1:-1, 1:-1] == 4).all()


# the generator


@every_shape
@pytest.mark.parametrize("bounds", [(-1.0, 2.0), (0.0, 16.0), (3.0, 3.0)])
def test_pixels_lie_between_the_bounds(image_shape, bounds):
    maker = generator(image_shape, (4, 8), low=bounds[0], high=bounds[1])
    x = maker(100 * normal(50, 3))
    assert (x >= bounds[0]).all()
    assert (x <= bounds[1]).all()
    assert torch.isfinite(x).all()


@every_shape
def test_an_image_does_not_depend_on_those_beside_it(image_shape, device):
    maker = generator(image_shape, (4, 8)).to(device)
    z = normal(9, 3, device=device)
    for training in (True, False):
        maker.train(training)
        whole = maker(z)
        parts = torch.cat([maker(z[:1]), maker(z[1:4]), maker(z[4:])])
        torch.testing.assert_close(parts, whole)
        torch.testing.assert_close(maker(z.flip(0)).flip(0), whole)


def test_networks_have_no_state_beside_their_weights():
    for network in (generator((1, 8, 8), (8,)), discriminator((1, 8, 8), (8,), 2)):
        assert list(network.buffers()) == []


@every_shape
@every_depth
def test_every_parameter_receives_a_gradient(image_shape, channels, device):
    maker = generator(image_shape, channels).to(device)
    n_classes = 3
    judge = discriminator(image_shape, channels, n_classes).to(device)
    x = maker(normal(30, 3, device=device))
    given = classes(30, n_classes, device)
    judge(torch.cat([x, given], dim=1)).square().sum().backward()
    for network in (maker, judge):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


# the discriminator


@every_shape
def test_score_of_a_class_is_the_common_score_and_one_of_its_own(image_shape):
    judge = discriminator(image_shape, (4,), n_classes=3)
    x = normal(6, math.prod(image_shape))
    scores = judge.scores(judge.features(x))
    for label in range(3):
        given = classes(6, 3)[label].expand(6, 3)
        found = judge(torch.cat([x, given], dim=1))
        torch.testing.assert_close(found[:, 0], scores[:, 0] + scores[:, 1 + label])


@every_shape
def test_score_does_not_depend_on_the_rows_beside_it(image_shape):
    judge = discriminator(image_shape, (4, 8))
    x = normal(9, math.prod(image_shape))
    for training in (True, False):
        judge.train(training)
        parts = torch.cat([judge(x[:1]), judge(x[1:])])
        torch.testing.assert_close(parts, judge(x))


def test_penalty_of_the_slope_has_the_gradient_of_finite_differences():
    judge = discriminator((1, 8, 8), (2,)).double()
    real, fake = normal(3, 64).double(), normal(3, 64, seed=1).double()

    def penalty():
        rng = Generator().manual_seed(0)
        return gradient_penalty(judge, real, fake, rng)

    penalty().backward()
    step = 1e-6
    for parameter in judge.parameters():
        if parameter.grad is None:  # the last bias moves no slope
            continue
        gradient, values = parameter.grad.flatten(), parameter.data.view(-1)
        for place in range(0, len(values), max(1, len(values) // 5)):
            value = float(values[place])
            values[place] = value + step
            above = penalty().item()
            values[place] = value - step
            below = penalty().item()
            values[place] = value
            slope = (above - below) / (2 * step)
            assert float(gradient[place]) == pytest.approx(slope, rel=1e-3, abs=1e-7)


def test_input_is_not_changed():
    maker, judge = generator((1, 8, 8), (4,)), discriminator((1, 8, 8), (4,))
    z, x = normal(3, 3), normal(3, 64)
    kept = z.clone(), x.clone()
    maker(z)
    judge(x)
    assert torch.equal(z, kept[0])
    assert torch.equal(x, kept[1])
