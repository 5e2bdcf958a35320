import copy
import json

import pytest
import torch
from torch import Generator, nn
from torch.nn.functional import cosine_similarity

from skdeep.nn import ColumnEncoder, ConvDecoder, ConvEncoder, ImageEncoder, initialized
from skdeep.nn.convolution import Convolution, TransposedConvolution
from skdeep.nn.encoders import SMALL_SIDE, BatchNorm1d, BatchNorm2d

SHAPES = [
    (1, 8, 8),
    (3, 7, 5),
    (1, 1, 1),
    (2, 1, 9),
    (1, 9, 1),
    (1, 2, 2),
    (3, 17, 4),
    (1, 28, 27),
]


def images(shape=(1, 8, 8), n_components=5):
    return initialized(
        ImageEncoder,
        Generator().manual_seed(0),
        image_shape=shape,
        channels=(4, 6, 8),
        n_hidden=16,
        n_components=n_components,
    )


def columns(n_features=6, hidden=(16, 12)):
    return initialized(
        ColumnEncoder,
        Generator().manual_seed(0),
        n_features=n_features,
        n_local=3,
        hidden_layer_sizes=hidden,
        n_components=5,
    )


def rows(encoder, n=10):
    arguments = encoder.arguments
    shape = arguments.get("image_shape", [arguments.get("n_features")])
    n_features = torch.Size(shape).numel()
    return torch.randn(n, n_features, generator=Generator().manual_seed(1))


ENCODERS = {
    **{f"images {shape}": images(shape) for shape in SHAPES},
    **{f"{n} columns": columns(n) for n in (1, 2, 6)},
    "no dense layers": columns(6, ()),
}
every_encoder = pytest.mark.parametrize(
    "encoder", ENCODERS.values(), ids=[name.replace(" ", "-") for name in ENCODERS]
)


@every_encoder
def test_parts_have_the_shapes_they_announce(encoder):
    encoder, x = copy.deepcopy(encoder).eval(), rows(encoder)
    assert encoder(x).shape == (10, 5)
    assert encoder.n_outputs == 5
    assert encoder.hidden_layer(x).shape == (10, encoder.n_hidden)
    local = encoder.local_features(x)
    assert local.shape == (10, encoder.n_places, encoder.n_local)


@every_encoder
def test_one_pass_gives_what_the_parts_give(encoder):
    encoder, x = copy.deepcopy(encoder).eval(), rows(encoder)
    local, z = encoder.local_and_code(x)
    assert torch.equal(local, encoder.local_features(x))
    assert torch.equal(z, encoder(x))
    assert torch.equal(z, encoder.code(encoder.hidden_layer(x)))


@every_encoder
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 2])
def test_few_rows_train(encoder, dtype, n):
    encoder, x = copy.deepcopy(encoder).train(), rows(encoder, n)
    encoder.product_dtype = dtype
    local, z = encoder.local_and_code(x)
    assert local.dtype == z.dtype == torch.float32
    (local.square().sum() + z.square().sum()).backward()
    for name, weight in encoder.named_parameters():
        assert torch.isfinite(weight.grad).all(), name
    assert all(module.training for module in encoder.modules())
    for name, value in encoder.state_dict().items():
        assert torch.isfinite(value).all(), name


@every_encoder
def test_every_parameter_gets_a_gradient(encoder):
    encoder, x = copy.deepcopy(encoder).train(), rows(encoder, 64)
    weight = torch.randn(5, generator=Generator().manual_seed(2))
    (encoder(x) * weight).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_one_value_of_a_channel_is_normalised_by_what_was_seen_before():
    for layer, shape in ((BatchNorm1d(3), (1, 3)), (BatchNorm2d(3), (1, 3, 1, 1))):
        layer.running_mean.fill_(2.0)
        layer.running_var.fill_(4.0)
        before = copy.deepcopy(layer.state_dict())
        found = layer(torch.full(shape, 4.0))
        torch.testing.assert_close(found, torch.ones(shape))
        assert layer.training
        for name, value in layer.state_dict().items():
            assert torch.equal(value, before[name])


def test_one_image_of_many_places_is_normalised_by_itself():
    layer = BatchNorm2d(2)
    found = layer(torch.randn(1, 2, 4, 4, generator=Generator().manual_seed(0)))
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(2))


def test_large_images_are_halved_once_more():
    small, large = images((1, SMALL_SIDE, 4)), images((1, SMALL_SIDE + 1, 4))
    assert small.n_places == 8 * 2
    assert large.n_places == 5 * 1


def test_local_features_of_an_image_know_their_surroundings_alone():
    encoder = images((1, 16, 16)).eval()
    x = torch.zeros(1, 1, 16, 16)
    changed = x.clone()
    changed[0, 0, 0, 0] = 1
    difference = encoder.local_features(changed.flatten(1)) - encoder.local_features(
        x.flatten(1)
    )
    touched = difference.abs().sum(2).reshape(8, 8) > 0
    assert touched.any()
    assert not touched[2:].any()
    assert not touched[:, 2:].any()


def test_local_feature_of_a_column_is_a_rectified_affine_map_of_it():
    encoder = columns().eval()
    x = rows(encoder)
    w, b = encoder.local.weight, encoder.local.bias
    expected = (x[:, :, None] * w + b).clamp(min=0)
    torch.testing.assert_close(encoder.local_features(x), expected)
    assert not torch.equal(w[0], w[1])


@every_encoder
def test_statistics_of_the_batches_are_part_of_the_state(encoder):
    encoder = copy.deepcopy(encoder).train()
    x = rows(encoder, 32)
    with torch.no_grad():
        encoder(x)
    again = type(encoder)(**json.loads(json.dumps(encoder.arguments)))
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again.eval()(x), encoder.eval()(x))


NARROW = [
    (1, 4, 1),
    (1, 1, 1),
    (2, 17, 3),
    pytest.param((1, 2, 2), marks=pytest.mark.slow),
    pytest.param((1, 9, 2), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("shape", NARROW, ids=str)
@pytest.mark.parametrize("kind", [ImageEncoder, ConvEncoder, ConvDecoder])
def test_bfloat16_reads_nothing_unwritten_on_narrow_images(kind, shape):
    arguments = {"image_shape": shape, "channels": (32, 64, 64), "n_components": 3}
    if kind is ImageEncoder:
        arguments["n_hidden"] = 8
    n_inputs = 3 if kind is ConvDecoder else torch.Size(shape).numel()
    network = initialized(kind, Generator().manual_seed(0), **arguments).eval()
    x = torch.randn(128, n_inputs, generator=Generator().manual_seed(1))
    outputs, gradients = [], []
    for dtype in (torch.float32, torch.bfloat16):
        network.zero_grad()
        network.product_dtype = dtype
        leave_nan_in_memory()
        outputs.append(network(x).flatten())
        leave_nan_in_memory()
        outputs[-1].square().sum().backward()
        parameters = network.parameters()
        gradients.append(torch.cat([weight.grad.flatten() for weight in parameters]))
    assert cosine_similarity(*outputs, dim=0) > 0.99
    assert cosine_similarity(*gradients, dim=0) > 0.95


def leave_nan_in_memory():
    """Free blocks of many sizes, full of NaN, for others to be handed."""
    [torch.full((2**k,), torch.nan) for k in range(4, 20) for _ in range(20)]


@pytest.mark.parametrize("shape", NARROW, ids=str)
def test_narrow_maps_pass_the_convolutions_of_torch(shape):
    _, height, width = shape
    rng = Generator().manual_seed(0)
    x = torch.randn(4, 2, height, width, generator=rng)
    ours = Convolution(2, 3, 3, 2, 1)
    theirs = nn.Conv2d(2, 3, 3, 2, 1)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    for padding in ((0, 0), (1, 0), (0, 1), (1, 1)):
        ours = TransposedConvolution(2, 3, 3, 2, 1, padding)
        theirs = nn.ConvTranspose2d(2, 3, 3, 2, 1, padding)
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(ours(x), theirs(x))
