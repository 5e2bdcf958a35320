import copy

import pytest
import torch
from torch import Generator

from skdeep.nn import MLP, ConvEncoder, initialized
from skdeep.nn.posterior import means_alone, with_variances

ENCODERS = [
    (MLP, {"sizes": [6, 5, 3]}),
    (MLP, {"sizes": [6, 3]}),
    (ConvEncoder, {"image_shape": [1, 3, 2], "channels": [4], "n_components": 3}),
]


def encoder_of(network, arguments):
    return initialized(network, Generator().manual_seed(0), **arguments)


@pytest.mark.parametrize(("network", "arguments"), ENCODERS)
def test_outputs_are_those_of_the_encoder_and_constants(network, arguments):
    encoder, x = encoder_of(network, arguments), torch.randn(4, 6)
    mean, log_var = with_variances(encoder, -2.0)(x).chunk(2, 1)
    torch.testing.assert_close(mean, encoder(x))
    torch.testing.assert_close(log_var, torch.full((4, 3), -2.0))


@pytest.mark.parametrize(("network", "arguments"), ENCODERS)
def test_means_alone_is_the_inverse(network, arguments):
    encoder, x = encoder_of(network, arguments), torch.randn(4, 6)
    found = means_alone(with_variances(encoder, -2.0))
    assert found.arguments == encoder.arguments
    torch.testing.assert_close(found(x), encoder(x), rtol=0, atol=0)


def test_the_networks_share_no_weights():
    encoder = encoder_of(*ENCODERS[0])
    before = copy.deepcopy(encoder.state_dict())
    wide = with_variances(encoder, 0.0)
    with torch.no_grad():
        for weight in [*wide.parameters(), *means_alone(wide).parameters()]:
            weight.add_(1.0)
    for name, weight in encoder.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)
