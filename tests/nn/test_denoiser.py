import json
import math

import pytest
import torch
from torch import Generator, nn

from skdeep.nn import NETWORKS, MLPDenoiser, UNetDenoiser, initialized
from skdeep.nn.denoiser import (
    FASTEST,
    N_FREQUENCIES,
    SLOWEST,
    ConvBlock,
    DenseBlock,
    Moment,
    Waves,
    group_norm,
)
from skdeep.nn.zero import ZeroConvolution, ZeroLinear

SHAPES = [(1, 8, 8), (3, 7, 5), (1, 1, 1), (2, 1, 9), (1, 9, 2), (3, 32, 32)]


def table(n_features=5, sizes=(16, 12, 8), n_classes=0):
    return initialized(
        MLPDenoiser,
        Generator().manual_seed(0),
        n_features=n_features,
        hidden_layer_sizes=sizes,
        n_classes=n_classes,
    )


def images(shape=(1, 8, 8), channels=(8, 12), n_classes=0):
    return initialized(
        UNetDenoiser,
        Generator().manual_seed(0),
        image_shape=shape,
        channels=channels,
        n_classes=n_classes,
    )


DENOISERS = {
    "table": table,
    "wide-table": lambda n_classes=0: table(20, (16, 12, 8), n_classes),
    "one-column": lambda n_classes=0: table(1, (16,), n_classes),
    "image": images,
    "three-sizes": lambda n_classes=0: images((1, 28, 28), (8, 8, 12), n_classes),
    "one-size": lambda n_classes=0: images((2, 7, 5), (8,), n_classes),
}
every_denoiser = pytest.mark.parametrize(
    "build", DENOISERS.values(), ids=list(DENOISERS)
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def inputs(denoiser, n=6):
    t = torch.rand(n, generator=Generator().manual_seed(1))
    n_classes = denoiser.arguments["n_classes"]
    y = [torch.eye(n_classes)[torch.arange(n) % n_classes]] if n_classes else []
    return [normal(n, denoiser.n_outputs), t, *y]


def awake(denoiser):
    """Let the layers that start at zero have weights, so that all others matter."""
    rng = Generator().manual_seed(3)
    for layer in denoiser.modules():
        if isinstance(layer, ZeroLinear | ZeroConvolution):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -0.3, 0.3, generator=rng)
    return denoiser


# the time and the class


def test_waves_equal_the_naive_loop():
    waves = Waves()
    waves.reset_parameters()
    times = [0.0, 0.1, 0.77, 1.0]
    found = waves(torch.tensor(times))
    ratio = FASTEST / SLOWEST
    for i, t in enumerate(times):
        for k in range(N_FREQUENCIES):
            f = SLOWEST * ratio ** (k / (N_FREQUENCIES - 1))
            angle = 2 * math.pi * f * t
            assert float(found[i, k]) == pytest.approx(math.sin(angle), abs=1e-4)
            other = float(found[i, N_FREQUENCIES + k])
            assert other == pytest.approx(math.cos(angle), abs=1e-4)


def test_each_time_has_waves_of_its_own():
    waves = Waves()
    waves.reset_parameters()
    found = waves(torch.linspace(0, 1, 1001))
    distances = torch.cdist(found, found) + 10 * torch.eye(1001)
    assert distances.min() > 0.1


def test_no_known_class_is_a_row_of_zeros():
    moment = Moment(8, 3)
    moment.waves.reset_parameters()
    t = torch.tensor([0.3])
    zeros = torch.zeros(1, 3)
    assert torch.equal(moment(t, zeros), moment(t, None))
    assert not torch.equal(moment(t, torch.eye(3)[:1]), moment(t, None))


@every_denoiser
def test_class_changes_the_output(build):
    denoiser = awake(build(n_classes=3))
    x, t, _ = inputs(denoiser)
    outputs = [denoiser(x, t, row.expand(len(x), -1)) for row in torch.eye(3)]
    outputs.append(denoiser(x, t))
    for i, first in enumerate(outputs):
        for second in outputs[:i]:
            assert not torch.allclose(first, second, atol=1e-4)


@every_denoiser
def test_time_changes_the_output(build):
    denoiser = awake(build())
    x, _ = inputs(denoiser)
    early, late = (denoiser(x, torch.tensor([t])) for t in (0.1, 0.9))
    assert not torch.allclose(early, late, atol=1e-4)


# both networks


@every_denoiser
@pytest.mark.parametrize("n_classes", [0, 3])
def test_output_has_the_shape_of_the_rows(build, n_classes):
    denoiser = build(n_classes=n_classes)
    for n in (1, 6):
        given = inputs(denoiser, n)
        assert denoiser(*given).shape == given[0].shape


@every_denoiser
def test_output_starts_at_zero(build):
    denoiser = build()
    assert (denoiser(*inputs(denoiser)) == 0).all()


@every_denoiser
def test_one_time_serves_all_rows(build):
    denoiser = awake(build(n_classes=3)).eval()
    x, _, y = inputs(denoiser)
    one, many = torch.tensor([0.4]), torch.full((len(x),), 0.4)
    torch.testing.assert_close(denoiser(x, one, y), denoiser(x, many, y))
    torch.testing.assert_close(
        denoiser(x, one, y[:1]), denoiser(x, many, y[:1].expand_as(y))
    )


@every_denoiser
def test_rows_do_not_know_each_other(build):
    denoiser = awake(build()).train()
    x, t = inputs(denoiser)
    together = denoiser(x, t)
    alone = [denoiser(x[i : i + 1], t[i : i + 1]) for i in range(len(x))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


@every_denoiser
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_parameter_gets_a_gradient(build, dtype):
    denoiser = awake(build(n_classes=3)).train()
    denoiser.product_dtype = dtype
    given = inputs(denoiser, 32)
    output = denoiser(*given)
    assert output.dtype == torch.float32
    (output - given[0]).square().sum().backward()
    for name, parameter in denoiser.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@every_denoiser
def test_slope_by_the_row_is_that_of_finite_differences(build):
    denoiser = awake(build()).double()
    x, t = (tensor.double() for tensor in inputs(denoiser, 2))
    direction = normal(*x.shape, seed=5).double()
    x.requires_grad_()
    (slope,) = torch.autograd.grad(denoiser(x, t).sum(), x)
    far, near = (denoiser(x.detach() + h * direction, t).sum() for h in (1e-5, -1e-5))
    expected = (far - near) / 2e-5
    torch.testing.assert_close((slope * direction).sum(), expected, rtol=1e-5, atol=0)


@every_denoiser
def test_network_is_rebuilt_from_its_arguments_and_state(build):
    denoiser = awake(build(n_classes=3))
    kind = NETWORKS[type(denoiser).__name__]
    with torch.device("meta"):
        again = kind(**json.loads(json.dumps(denoiser.arguments)))
    again.load_state_dict(denoiser.state_dict(), assign=True)
    given = inputs(denoiser)
    assert torch.equal(again(*given), denoiser(*given))


@every_denoiser
def test_far_rows_stay_finite(build):
    denoiser = awake(build())
    x, t = inputs(denoiser)
    for size in (0.0, 1e4, -1e6):
        assert torch.isfinite(denoiser(size * torch.ones_like(x), t)).all()


# tables


@pytest.mark.parametrize("n_features", [5, 20])
def test_dense_denoiser_equals_its_formula(n_features):
    denoiser = awake(table(n_features, n_classes=3))
    x, t, y = inputs(denoiser)
    m = denoiser.moment(t, y)
    h = denoiser.first(x)
    start = 0
    for block in denoiser.blocks:
        n_units = block.first.out_features
        rows = slice(start, start + n_units)
        shift = m @ denoiser.moments.weight[rows].T + denoiser.moments.bias[rows]
        start += n_units
        h = h + block.second(nn.functional.silu(block.first(h) + shift))
    expected = denoiser.last(nn.functional.silu(h))
    if n_features > 16:
        expected = expected + (m @ denoiser.gate.weight.T + denoiser.gate.bias) * x
    torch.testing.assert_close(denoiser(x, t, y), expected)
    assert start == denoiser.moments.out_features


def test_dense_block_passes_its_input_on():
    block = DenseBlock(4, 6)
    nn.init.zeros_(block.second.weight)
    h = normal(3, 4)
    assert torch.equal(block(h, normal(3, 6)), h)


def test_dense_denoiser_learns_the_velocity_of_a_gaussian():
    # Of rows with mean 0 and variance c the best velocity is linear in the mixture:
    # a s (1 - c) x_t / (a^2 c + s^2).
    denoiser, rng, c = table(1, (32, 32)), Generator().manual_seed(0), 0.25
    optimizer = torch.optim.Adam(denoiser.parameters(), 3e-3)
    for _ in range(300):
        t = torch.rand(256, generator=rng)
        a, s = (
            torch.cos(t * math.pi / 2)[:, None],
            torch.sin(t * math.pi / 2)[:, None],
        )
        x_0 = math.sqrt(c) * torch.randn(256, 1, generator=rng)
        noise = torch.randn(256, 1, generator=rng)
        loss = (denoiser(a * x_0 + s * noise, t) - (a * noise - s * x_0)).square()
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    x = torch.linspace(-1, 1, 9)[:, None]
    for t in (0.2, 0.5, 0.8):
        a, s = math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)
        expected = a * s * (1 - c) / (a**2 * c + s**2) * x
        found = denoiser(x, torch.tensor([t])).detach()
        torch.testing.assert_close(found, expected, atol=0.15, rtol=0)


# images


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("channels", [(8,), (8, 12), (4, 8, 8)], ids=str)
def test_images_of_any_sides_pass(shape, channels):
    denoiser = awake(images(shape, channels))
    given = inputs(denoiser, 2)
    output = denoiser(*given)
    assert output.shape == given[0].shape
    assert torch.isfinite(output).all()


def test_padding_changes_nothing_but_the_sides():
    # An image of 7 x 5 is one of 8 x 6 with a border of zeros, of which it is cut.
    odd, even = awake(images((1, 7, 5))), awake(images((1, 8, 6)))
    even.load_state_dict(odd.state_dict())
    x, t = normal(4, 1, 7, 5), torch.rand(4, generator=Generator().manual_seed(1))
    padded = nn.functional.pad(x, (0, 1, 0, 1))
    expected = even(padded.flatten(1), t).unflatten(1, (1, 8, 6))[:, :, :7, :5]
    torch.testing.assert_close(odd(x.flatten(1), t), expected.flatten(1))


def test_what_is_far_apart_meets_at_the_bottom():
    denoiser = awake(images((1, 16, 16), (8, 8, 8)))
    t = torch.tensor([0.5])
    x = torch.zeros(1, 1, 16, 16)
    changed = x.clone()
    changed[0, 0, 0, 0] = 10.0
    reach = denoiser(changed.flatten(1), t) - denoiser(x.flatten(1), t)
    assert reach.reshape(16, 16)[-1, -1].abs() > 1e-6


def test_block_starts_as_its_shortcut():
    block = initialized_block(6, 6)
    h = normal(2, 6, 4, 4)
    assert torch.equal(block(h, normal(2, 5)), h)
    wider = initialized_block(6, 8)
    torch.testing.assert_close(wider(h, normal(2, 5)), wider.shortcut(h))


def initialized_block(n_in, n_out):
    block = ConvBlock(n_in, n_out, 5)
    block.second.reset_parameters()
    return block


@pytest.mark.parametrize("n_channels", [1, 3, 7, 8, 12, 32, 50])
def test_groups_divide_the_channels(n_channels):
    norm = group_norm(n_channels)
    assert n_channels % norm.num_groups == 0
    x = 5 + 3 * normal(2, n_channels, 4, 4)
    groups = norm(x).unflatten(1, (norm.num_groups, -1)).flatten(2)
    torch.testing.assert_close(groups.mean(2), torch.zeros(2, norm.num_groups))


# initialisation


@every_denoiser
def test_all_weights_are_filled_from_the_generator_alone(build):
    before = torch.get_rng_state()
    first, second = build(n_classes=3), build(n_classes=3)
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.isfinite(value).all(), name
        assert torch.equal(value, second.state_dict()[name]), name
    for layer in first.modules():
        if isinstance(layer, nn.GroupNorm):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
        elif isinstance(layer, ZeroLinear | ZeroConvolution):
            assert all((weight == 0).all() for weight in layer.parameters())
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            assert 0.5 * bound < layer.weight.abs().max() <= bound
