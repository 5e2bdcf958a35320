import math

import pytest
import torch
from torch import Generator

from skdeep.nn import AttentionEncoder, initialized
from skdeep.nn.attention import N_HEADS, N_UNITS


def encoder(n_features=5, hidden=(16, 24), n_components=3, seed=0):
    return initialized(
        AttentionEncoder,
        Generator().manual_seed(seed),
        n_features=n_features,
        hidden_layer_sizes=list(hidden),
        n_components=n_components,
    )


def rows(n=7, n_features=5):
    return torch.randn(n, n_features, generator=Generator().manual_seed(1))


def normalised(t, norm):
    t = (t - t.mean(-1, keepdim=True)) / (t.var(-1, False, keepdim=True) + 1e-5).sqrt()
    return t * norm.weight + norm.bias


@pytest.mark.parametrize("n_features", [1, 2, 9])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 4)])
@pytest.mark.parametrize("n", [1, 6])
def test_shapes(n, hidden, n_features, device):
    network = encoder(n_features, hidden).to(device)
    x = rows(n, n_features).to(device)
    assert network(x).shape == (n, 3)


@torch.no_grad()
def test_output_is_that_of_the_formula_one_row_and_one_head_at_a_time():
    network, x = encoder(), rows()
    for i in range(len(x)):
        columns = [
            x[i, j] * w + b
            for j, (w, b) in enumerate(
                zip(network.tokens.weight, network.tokens.bias, strict=True)
            )
        ]
        tokens = torch.stack([network.tokens.summary, *columns])
        for layer in network.layers:
            read = layer.reading(normalised(tokens, layer.norms[0]))
            query, key, value = read.split(N_UNITS, dim=1)
            heads, width = [], N_UNITS // N_HEADS
            for head in range(N_HEADS):
                part = slice(head * width, (head + 1) * width)
                scores = query[:, part] @ key[:, part].T / math.sqrt(width)
                heads.append(scores.softmax(1) @ value[:, part])
            tokens = tokens + layer.attended(torch.cat(heads, dim=1))
            tokens = tokens + layer.dense(normalised(tokens, layer.norms[1]))
        summary = normalised(tokens[0], network.hidden[0]).clamp_min(0)
        torch.testing.assert_close(network(x)[i], network.code(summary))


def test_every_weight_gets_a_gradient():
    network = encoder()
    network(rows()).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_code_depends_on_products_of_columns():
    # x_1 x_2 is no sum of functions of one column each: the mixed difference says so.
    network = encoder(2, seed=3)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    z = network(corners)
    assert (z[0] - z[1] - z[2] + z[3]).abs().max() > 1e-3


def test_same_generator_gives_the_same_network():
    x = rows()
    assert torch.equal(encoder(seed=4)(x), encoder(seed=4)(x))
    assert not torch.equal(encoder(seed=4)(x), encoder(seed=5)(x))
