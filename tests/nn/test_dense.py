import itertools

import pytest
import torch
from torch import Generator, nn

from skdeep.nn import MLP, chained
from skdeep.nn.dense import DenseLayers, DenseStack

SIZES = [(3, 2), (1, 1), (4, 5, 3), (4, 6, 5, 3), (5, 8, 8, 8, 8, 8, 2)]
every_size = pytest.mark.parametrize("sizes", SIZES, ids=str)
every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def normal(*shape, seed=0, dtype=torch.float32, device="cpu"):
    rng = Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(device, dtype)


def weights_of(sizes, dtype=torch.float32, device="cpu"):
    """Weight and bias of each layer."""
    return [
        (
            normal(n_out, n_in, seed=depth, dtype=dtype, device=device) / n_in**0.5,
            normal(n_out, seed=100 + depth, dtype=dtype, device=device),
        )
        for depth, (n_in, n_out) in enumerate(itertools.pairwise(sizes))
    ]


def stack_of(layers, dtype=None):
    """Stack of the layers, whose places for gradients hold none yet."""
    layers = [tuple(w.detach().to(dtype or w.dtype) for w in pair) for pair in layers]
    places = [tuple(torch.full_like(w, torch.nan) for w in pair) for pair in layers]
    parameters = torch.zeros(1, device=layers[0][0].device, requires_grad=True)
    return DenseStack(parameters, layers, places)


def dense(x, stack):
    return DenseLayers.apply(x, stack.parameters, stack)[0]


def sequential_of(layers):
    modules = []
    for weight, bias in layers:
        layer = nn.Linear(*weight.shape[::-1])
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        modules += [layer, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def gradients_of(stack):
    return [gradient for pair in stack.gradients for gradient in pair]


@every_type
@every_size
@pytest.mark.parametrize("n", [1, 2, 7])
def test_value_and_gradients_are_those_of_autograd(n, sizes, dtype, device):
    layers = weights_of(sizes, dtype, device)
    stack, reference = stack_of(layers), sequential_of(layers)
    x = normal(n, sizes[0], seed=50, dtype=dtype, device=device).requires_grad_()
    upstream = normal(n, sizes[-1], seed=51, dtype=dtype, device=device)

    expected = reference(x)
    inputs = [x, *reference.parameters()]
    x_gradient, *gradients = torch.autograd.grad(expected, inputs, upstream)
    found = dense(x, stack)
    found.backward(upstream)
    assert found.dtype == x.grad.dtype == dtype
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(x.grad, x_gradient)
    torch.testing.assert_close(gradients_of(stack), gradients)
    assert stack.written
    assert stack.parameters.grad is None


@every_size
def test_gradients_are_those_of_finite_differences(sizes):
    layers = weights_of(sizes, torch.float64)
    x = normal(3, sizes[0], seed=50, dtype=torch.float64).requires_grad_()
    stack = stack_of(layers)
    dense(x, stack).square().sum().backward()
    assert torch.autograd.gradcheck(lambda x: dense(x, stack_of(layers)), x)

    def loss(layers):
        return float(dense(x.detach(), stack_of(layers)).detach().square().sum())

    step = 1e-6
    flat = [weight for pair in layers for weight in pair]
    for weight, gradient in zip(flat, gradients_of(stack), strict=True):
        for place in itertools.product(*map(range, weight.shape)):
            value = float(weight[place])
            weight[place] = value + step
            above = loss(layers)
            weight[place] = value - step
            below = loss(layers)
            weight[place] = value
            slope = (above - below) / (2 * step)
            assert float(gradient[place]) == pytest.approx(slope, rel=1e-5, abs=1e-6)


@every_size
def test_bfloat16_layers_are_near_the_float32_ones(sizes, device):
    layers = weights_of(sizes, device=device)
    exact, rounded = stack_of(layers), stack_of(layers, torch.bfloat16)
    found = []
    for stack in (exact, rounded):
        x = normal(40, sizes[0], seed=50, device=device).requires_grad_()
        output = dense(x, stack)
        output.square().mean().backward()
        assert output.dtype == x.grad.dtype == torch.float32
        found.append([output.detach(), x.grad, *gradients_of(stack)])
    # bfloat16 has eight bits, and each layer rounds on both ways.
    tolerance = 0.02 * len(layers)
    for one, other in zip(*found, strict=True):
        error = torch.linalg.norm(other.float() - one)
        assert error < tolerance * torch.linalg.norm(one)
    assert all(g.dtype == torch.bfloat16 for g in gradients_of(rounded))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_gradients_of_a_step_add_up_once_one_is_written(dtype, device):
    layers = weights_of((4, 6, 3), dtype, device)
    together, single = stack_of(layers), [stack_of(layers), stack_of(layers)]
    for seed, alone in enumerate(single):
        x = normal(5, 4, seed=seed, device=device)
        for stack in (together, alone):
            dense(x, stack).square().sum().backward()
    sums = [a + b for a, b in zip(*map(gradients_of, single), strict=True)]
    tolerance = 0.02 if dtype == torch.bfloat16 else 1e-6
    for found, expected in zip(gradients_of(together), sums, strict=True):
        error = torch.linalg.norm((found - expected).float())
        assert error <= tolerance * torch.linalg.norm(expected.float())


def test_gradients_of_the_step_before_are_overwritten():
    layers = weights_of((4, 6, 3))
    used, fresh = stack_of(layers), stack_of(layers)
    dense(normal(5, 4, seed=1), used).sum().backward()
    used.written = False
    for stack in (used, fresh):
        dense(normal(5, 4, seed=2), stack).square().sum().backward()
    for found, expected in zip(gradients_of(used), gradients_of(fresh), strict=True):
        assert torch.equal(found, expected)


def test_layers_used_twice_in_a_chain_get_both_gradients():
    layers = weights_of((4, 6, 4), torch.float64)
    stack, reference = stack_of(layers), sequential_of(layers)
    x = normal(5, 4, dtype=torch.float64)
    dense(dense(x, stack), stack).square().sum().backward()
    reference(reference(x)).square().sum().backward()
    expected = [parameter.grad for parameter in reference.parameters()]
    torch.testing.assert_close(gradients_of(stack), expected)


@every_size
def test_input_that_needs_no_gradient_gets_none(sizes):
    layers = weights_of(sizes)
    stack, again = stack_of(layers), stack_of(layers)
    x = normal(3, sizes[0])
    dense(x, stack).square().sum().backward()
    assert x.grad is None
    dense(x.requires_grad_(), again).square().sum().backward()
    assert x.grad is not None
    for found, expected in zip(gradients_of(stack), gradients_of(again), strict=True):
        assert torch.equal(found, expected)


@every_type
@every_size
def test_input_weights_and_upstream_gradient_are_not_changed(sizes, dtype):
    layers = weights_of(sizes, dtype)
    stack = stack_of(layers)
    x = normal(3, sizes[0], dtype=dtype).requires_grad_()
    upstream = normal(3, sizes[-1], seed=1, dtype=dtype)
    kept = [tensor.detach().clone() for tensor in (x, upstream)]
    dense(x, stack).backward(upstream)
    for tensor, before in zip((x, upstream), kept, strict=True):
        assert torch.equal(tensor, before)
    for pair, before in zip(stack.layers, layers, strict=True):
        assert all(map(torch.equal, pair, before))


def test_upstream_gradient_of_any_strides_is_taken():
    layers = weights_of((4, 6, 3))
    one, other = stack_of(layers), stack_of(layers)
    x = normal(5, 4)
    dense(x, one).backward(torch.ones(()).expand(5, 3))
    dense(x.T.contiguous().T, other).backward(torch.ones(3, 5).T)
    torch.testing.assert_close(gradients_of(one), gradients_of(other))


def test_layers_without_a_gradient_pass_none_on():
    stack = stack_of([(torch.ones(2, 2), torch.zeros(2)), *weights_of((2, 1))])
    x = torch.tensor([[-1.0, -2.0]], requires_grad=True)  # no unit of the first is on
    dense(x, stack).sum().backward()
    assert (x.grad == 0).all()
    assert (stack.gradients[0][0] == 0).all()
    assert (stack.gradients[1][1] == 1).all()


def slopes(function, x, power=2):
    """Gradient in x of a loss of the outputs, ready for a loss of its own."""
    x = x.detach().requires_grad_()
    loss = function(x).pow(power).sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    return gradient


@every_type
@every_size
@pytest.mark.parametrize("power", [1, 2])
def test_losses_of_slopes_have_the_gradients_of_autograd(sizes, dtype, power, device):
    layers = weights_of(sizes, dtype, device)
    stack, reference = stack_of(layers), sequential_of(layers)
    x = normal(7, sizes[0], seed=50, dtype=dtype, device=device)
    expected = slopes(reference, x, power)
    found = slopes(lambda x: dense(x, stack), x, power)
    torch.testing.assert_close(found, expected)
    expected.pow(3).sum().backward()
    found.pow(3).sum().backward()
    # Of a loss that is linear in the outputs, no bias moves the slope.
    gradients = [
        torch.zeros_like(weight) if weight.grad is None else weight.grad
        for weight in reference.parameters()
    ]
    torch.testing.assert_close(gradients_of(stack), gradients)


@every_size
@pytest.mark.parametrize("first", ["slopes", "outputs"])
def test_gradients_of_slopes_and_of_outputs_add_up(sizes, first):
    layers = weights_of(sizes, torch.float64)
    stack, reference = stack_of(layers), sequential_of(layers)
    x = normal(7, sizes[0], seed=50, dtype=torch.float64)
    for function in (lambda x: dense(x, stack), reference):
        losses = {
            "slopes": slopes(function, x).pow(3).sum(),
            "outputs": function(x).square().sum(),
        }
        losses.pop(first).backward()
        losses.popitem()[1].backward()
    gradients = [weight.grad for weight in reference.parameters()]
    torch.testing.assert_close(gradients_of(stack), gradients)


@every_size
def test_gradients_of_slopes_are_those_of_finite_differences(sizes):
    layers = weights_of(sizes, torch.float64)
    x = normal(3, sizes[0], seed=50, dtype=torch.float64)

    def loss(stack):
        return slopes(lambda x: dense(x, stack), x, power=1).pow(3).sum()

    stack = stack_of(layers)
    loss(stack).backward()
    step = 1e-6
    flat = [weight for pair in layers for weight in pair]
    for weight, gradient in zip(flat, gradients_of(stack), strict=True):
        for place in itertools.product(*map(range, weight.shape)):
            value = float(weight[place])
            weight[place] = value + step
            above = loss(stack_of(layers)).item()
            weight[place] = value - step
            below = loss(stack_of(layers)).item()
            weight[place] = value
            slope = (above - below) / (2 * step)
            assert float(gradient[place]) == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_bfloat16_slopes_are_near_the_float32_ones(device):
    layers = weights_of((5, 16, 16, 1), device=device)
    exact, rounded = stack_of(layers), stack_of(layers, torch.bfloat16)
    x = normal(40, 5, seed=50, device=device)
    for stack in (exact, rounded):
        found = slopes(lambda x, stack=stack: dense(x, stack), x, power=1)
        assert found.dtype == torch.float32
        found.square().mean().backward()
    for one, other in zip(gradients_of(exact), gradients_of(rounded), strict=True):
        error = torch.linalg.norm(other.float() - one)
        assert error <= 0.06 * torch.linalg.norm(one)


def test_a_derivative_beyond_the_second_is_refused():
    x = normal(3, 4).requires_grad_()
    output = dense(x, stack_of(weights_of((4, 6, 3)))).square().sum()
    (first,) = torch.autograd.grad(output, x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


@every_size
def test_frozen_layers_pass_the_gradient_and_keep_their_own(sizes):
    layers = weights_of(sizes)
    stack, trained = stack_of(layers), stack_of(layers)
    stack.parameters.requires_grad_(False)
    found, expected = (normal(3, sizes[0]).requires_grad_() for _ in range(2))
    dense(found, stack).square().sum().backward()
    dense(expected, trained).square().sum().backward()
    assert torch.equal(found.grad, expected.grad)
    assert not stack.written
    assert all(gradient.isnan().all() for gradient in gradients_of(stack))


# several stacks in one operation


@pytest.mark.parametrize("losses", ["last", "first", "both"])
@pytest.mark.parametrize("needs_gradient", [True, False])
def test_stacks_in_a_chain_have_the_gradients_of_autograd(
    losses, needs_gradient, device
):
    first, second = (
        weights_of((4, 6, 3), device=device),
        weights_of((3, 5, 4), device=device),
    )
    stacks = [stack_of(first), stack_of(second)]
    for stack in stacks:
        stack.parameters = stacks[0].parameters
    references = [sequential_of(first), sequential_of(second)]
    x = normal(7, 4, seed=50, device=device).requires_grad_(needs_gradient)
    upstream = (
        normal(7, 3, seed=51, device=device),
        normal(7, 4, seed=52, device=device),
    )
    weight = {"first": (1, 0), "last": (0, 1), "both": (1, 1)}[losses]

    def loss_of(outputs):
        pairs = zip(weight, outputs, upstream, strict=True)
        return sum((output * u).sum() for used, output, u in pairs if used)

    z = references[0](x)
    parameters = [
        p
        for used, net in zip((1, weight[1]), references, strict=True)
        for p in net.parameters()
        if used
    ]
    inputs = [*[x] * needs_gradient, *parameters]
    expected = torch.autograd.grad(loss_of((z, references[1](z))), inputs)

    outputs = DenseLayers.apply(x, stacks[0].parameters, *stacks)
    torch.testing.assert_close(outputs[0], z)
    torch.testing.assert_close(outputs[1], references[1](z))
    loss_of(outputs).backward()
    found = gradients_of(stacks[0])
    assert stacks[0].written
    assert stacks[1].written == (weight[1] == 1)
    if weight[1]:
        found += gradients_of(stacks[1])
    torch.testing.assert_close([*[x.grad] * needs_gradient, *found], list(expected))


def test_slopes_of_a_chain_are_refused():
    stacks = [stack_of(weights_of((4, 6, 3))), stack_of(weights_of((3, 5, 1)))]
    x = normal(3, 4).requires_grad_()
    output = DenseLayers.apply(x, stacks[0].parameters, *stacks)[1]
    with pytest.raises(RuntimeError, match="Chained dense layers"):
        torch.autograd.grad(output.sum(), x, create_graph=True)


def test_chained_networks_give_what_they_give_one_by_one(device):
    networks = [MLP((4, 6, 3)).to(device), MLP((3, 5, 4)).to(device)]
    x = normal(7, 4, device=device)
    with torch.no_grad():
        inferred = chained(x, *networks)
        assert torch.equal(inferred[0], networks[0](x))
        assert torch.equal(inferred[1], networks[1](inferred[0]))
    z, output = chained(x, *networks)
    torch.testing.assert_close((z, output), inferred)
    for network in networks:
        layers = [(m.weight, m.bias) for m in network.layers if hasattr(m, "weight")]
        network.stack = stack_of(layers)
    fused = chained(x, *networks)
    assert fused[0].grad_fn is fused[1].grad_fn
    torch.testing.assert_close(fused, (z, output))
    with torch.no_grad():
        assert torch.equal(chained(x, *networks)[1], inferred[1])
