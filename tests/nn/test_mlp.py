import pytest
import torch
from torch import Generator

from skdeep.nn import MLP, initialized, softmax_of_head
from skdeep.training import Adam


def mlp(*sizes, seed=0):
    return initialized(MLP, Generator().manual_seed(seed), sizes=list(sizes))


@pytest.mark.parametrize("sizes", [(3, 2), (3, 1), (1, 1), (5, 7, 2), (5, 8, 4, 2)])
@pytest.mark.parametrize("n", [1, 6])
def test_shapes(sizes, n, device):
    network = mlp(*sizes).to(device)
    assert network(torch.zeros(n, sizes[0], device=device)).shape == (n, sizes[-1])
    assert network.n_outputs == sizes[-1]


def test_output_is_that_of_the_formula(device):
    network = mlp(4, 6, 5, 3).to(device)
    x = torch.randn(8, 4, generator=Generator().manual_seed(0)).to(device)
    weights = [p.detach() for p in network.parameters()]
    h = x
    for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        h = (h @ W.T + b).clamp_min(0)
    expected = h @ weights[-2].T + weights[-1]
    torch.testing.assert_close(network(x), expected)


def test_last_layer_has_no_rectifier():
    output = mlp(4, 16, 8)(torch.randn(50, 4, generator=Generator().manual_seed(0)))
    assert output.min() < 0 < output.max()


def test_network_without_hidden_layers_is_affine():
    network = mlp(4, 3)
    x = torch.randn(6, 4, generator=Generator().manual_seed(0))
    zero = network(torch.zeros(1, 4))
    torch.testing.assert_close(network(2 * x) - zero, 2 * (network(x) - zero))


def test_input_is_not_changed():
    x = torch.randn(6, 4, generator=Generator().manual_seed(0))
    before = x.clone()
    mlp(4, 8, 2)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("n_components", [1, 10, 64])
@pytest.mark.parametrize("n_classes", [1, 3, 12])
def test_probabilities_of_a_row_do_not_depend_on_its_place(
    n_components, n_classes, device
):
    rng = Generator().manual_seed(0)
    head = mlp(n_components, n_classes).to(device)
    z = torch.randn(50, n_components, generator=rng).to(device)
    order = torch.randperm(50, generator=rng)
    p = softmax_of_head(head, z).detach()
    torch.testing.assert_close(p, head(z).softmax(1).detach())
    for rows in (order, order[:7]):
        assert torch.equal(softmax_of_head(head, z[rows]), p[rows])


@pytest.mark.parametrize("sizes", [(4, 2), (4, 16, 2), (4, 16, 16, 2)])
def test_every_parameter_receives_a_gradient(sizes, device):
    network = mlp(*sizes).to(device)
    x = torch.randn(20, 4, generator=Generator().manual_seed(0)).to(device)
    network(x).square().sum().backward()
    assert len(list(network.parameters())) == 2 * (len(sizes) - 1)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_hidden_layer_cannot_be_trained_through_where_its_gradient_would_be_lost():
    network, x = mlp(4, 6, 2), torch.ones(3, 4)
    with Adam([network], learning_rate=1e-3).training():
        with pytest.raises(RuntimeError, match="fused_layers=False"):
            network.hidden_layer(x)
        with torch.inference_mode():
            assert network.hidden_layer(x).shape == (3, 6)
    with Adam([network], learning_rate=1e-3, fused_layers=False).training():
        network.hidden_layer(x).sum().backward()
        first, _ = network.layers[0].parameters()
        assert first.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(2, 7, 5), (5,)])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_other_than_rows_is_refused_in_every_mode(shape, mode):
    network, x = mlp(5, 4, 2), torch.zeros(shape)
    for function in (network, network.hidden_layer):
        with (
            mode(),
            pytest.raises(ValueError, match=r"maps rows \(n, n_features\). Got"),
        ):
            function(x)


@pytest.mark.parametrize("sizes", [(), (5,)])
def test_sizes_of_input_and_output_are_needed(sizes):
    with pytest.raises(
        ValueError, match=r"The 'sizes' parameter of MLP must .* Got \["
    ):
        MLP(sizes)
