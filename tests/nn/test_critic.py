import json
import math

import pytest
import torch
from torch import Generator, nn
from torch.nn.functional import layer_norm

from skdeep.nn import NETWORKS, ConcatenateCritic, DotCritic, initialized
from skdeep.nn.critic import ResidualBlock, Shortcut

CRITICS = [DotCritic, ConcatenateCritic]
every_critic = pytest.mark.parametrize("kind", CRITICS)


def built(kind, n_local=3, n_global=5, n_units=8, seed=0):
    rng = Generator().manual_seed(seed)
    arguments = {"n_local": n_local, "n_global": n_global, "n_units": n_units}
    return initialized(kind, rng, **arguments)


def features(n=4, m=6, n_local=3, n_global=5):
    rng = Generator().manual_seed(1)
    local = torch.randn(n, m, n_local, generator=rng)
    return local, torch.randn(n, n_global, generator=rng)


def naive_block(block, x):
    W1, b1, W2, b2 = block.dense.parameters()
    hidden = (W1 @ x + b1).clamp_min(0)
    output = block.shortcut.weight @ x + W2 @ hidden + b2
    return layer_norm(output, output.shape, block.norm.weight, block.norm.bias)


def naive_score(critic, local, whole):
    if isinstance(critic, DotCritic):
        f = naive_block(critic.local_block, local)
        g = naive_block(critic.global_block, whole)
        return f @ g / math.sqrt(len(f))
    *layers, w, b = critic.pair_layers.parameters()
    together = torch.cat([local, whole])
    W1 = torch.cat([critic.local_layer.weight, critic.global_layer.weight], dim=1)
    h = (W1 @ together + critic.local_layer.bias).clamp_min(0)
    h = (layers[0] @ h + layers[1]).clamp_min(0)
    return (w @ h + b).squeeze()


@every_critic
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (4, 1), (4, 6)])
@pytest.mark.parametrize("n_units", [1, 2, 8])
def test_shapes(kind, n, m, n_units, device):
    critic = built(kind, n_units=n_units).to(device)
    local, whole = (x.to(device) for x in features(n, m))
    scores = critic(local, whole)
    assert scores.shape == (m, n, n)
    assert torch.isfinite(scores).all()
    assert critic.n_outputs == 1


@every_critic
@pytest.mark.parametrize("n_units", [2, 8])
def test_scores_equal_the_naive_loop_over_pairs(kind, n_units, device):
    critic, (local, whole) = built(kind, n_units=n_units), features()
    scores = critic.to(device)(local.to(device), whole.to(device)).cpu().detach()
    critic = critic.cpu()
    for k in range(local.shape[1]):
        for i in range(len(local)):
            for j in range(len(whole)):
                expected = naive_score(critic, local[i, k], whole[j]).detach()
                torch.testing.assert_close(scores[k, i, j], expected)


@every_critic
def test_score_of_a_pair_depends_on_no_other(kind):
    critic, (local, whole) = built(kind), features()
    scores = critic(local, whole)
    torch.testing.assert_close(critic(local[2:], whole[2:]), scores[:, 2:, 2:])
    torch.testing.assert_close(critic(local[1:2], whole[1:2]), scores[:, 1:2, 1:2])
    torch.testing.assert_close(critic(local[:, 3:4], whole), scores[3:4])


@every_critic
@pytest.mark.parametrize("n", [2, 20])
def test_every_parameter_and_input_receives_a_gradient(kind, n, device):
    critic = built(kind, n_units=16).to(device)
    local, whole = (x.to(device).requires_grad_() for x in features(n))
    weights = torch.arange(6.0 * n * n, device=device).reshape(6, n, n).cos()
    (critic(local, whole) * weights).sum().backward()
    named = [*critic.named_parameters(), ("local", local), ("whole", whole)]
    for name, tensor in named:
        assert tensor.grad is not None, name
        assert torch.isfinite(tensor.grad).all(), name
        assert tensor.grad.abs().sum() > 0, name


@every_critic
def test_gradients_are_those_of_finite_differences(kind):
    critic = built(kind, n_units=4).double()
    inputs = [x.double().requires_grad_() for x in features(n=2, m=2)]
    assert torch.autograd.gradcheck(critic.map, inputs)


@every_critic
def test_inputs_are_not_changed(kind):
    critic, (local, whole) = built(kind), features()
    before = local.clone(), whole.clone()
    critic(local, whole)
    assert torch.equal(local, before[0])
    assert torch.equal(whole, before[1])


@every_critic
def test_scores_without_gradient_are_the_same(kind):
    critic, (local, whole) = built(kind), features()
    scores = critic(local, whole)
    with torch.no_grad():
        torch.testing.assert_close(critic(local, whole), scores.detach())
    with torch.inference_mode():
        torch.testing.assert_close(critic(local, whole), scores.detach())


def test_scores_are_of_moderate_size_for_features_of_any(device):
    # Both sides are normalised: the root of the width bounds their scaled product.
    local, whole = (x.to(device) for x in features())
    critic = built(DotCritic, n_units=64).to(device)
    for far in (1e-4, 1.0, 1e4):
        assert critic(far * local, far * whole).abs().max() <= 8 * (1 + 1e-4)


def test_concatenation_keeps_no_pairs_for_the_backward_pass():
    kept = []
    critic, (local, whole) = built(ConcatenateCritic, n_units=32), features(n=8, m=50)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        critic(local, whole)
    assert 0 < max(kept) < 8 * 8 * 32  # not even the hidden units of one location


# what a network is


@every_critic
def test_weights_depend_on_the_generator_alone(kind):
    before = torch.get_rng_state()
    first = built(kind, seed=3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)  # the global generator moves on
    second, other = built(kind, seed=3).state_dict(), built(kind, seed=4).state_dict()
    for name, weight in first.items():
        assert torch.equal(weight, second[name])
        fixed = "norm" in name or "shortcut" in name
        assert torch.equal(weight, other[name]) == fixed


@every_critic
@pytest.mark.parametrize("n_units", [2, 8])
def test_initial_weights_are_in_their_intervals(kind, n_units):
    for layer in built(kind, n_units=n_units).modules():
        if isinstance(layer, nn.LayerNorm):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
        elif isinstance(layer, Shortcut):
            assert torch.equal(layer.weight, torch.eye(*layer.weight.shape))
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            for parameter in layer.parameters():
                assert 0 < parameter.abs().max() <= bound


def test_shortcut_starts_as_the_identity_unless_it_narrows():
    x = torch.randn(4, 3, generator=Generator().manual_seed(0))
    for n_units in (3, 8):
        shortcut = built(DotCritic, n_units=n_units).local_block.shortcut
        if isinstance(shortcut, Shortcut):
            expected = torch.cat([x, torch.zeros(4, n_units - 3)], dim=1)
            assert torch.equal(shortcut(x), expected)
    assert isinstance(ResidualBlock(3, 3).shortcut, Shortcut)
    assert isinstance(ResidualBlock(3, 8).shortcut, Shortcut)
    assert not isinstance(ResidualBlock(5, 4).shortcut, Shortcut)


@every_critic
def test_arguments_build_the_critic_again(kind):
    critic, (local, whole) = built(kind), features()
    assert NETWORKS[kind.__name__] is kind
    assert json.loads(json.dumps(critic.arguments)) == critic.arguments
    again = kind(**critic.arguments)
    again.load_state_dict(critic.state_dict())
    assert torch.equal(again(local, whole), critic(local, whole))


@every_critic
def test_bfloat16_products_come_out_as_float32_near_the_exact_ones(kind, device):
    critic = built(kind, n_units=32).to(device)
    local, whole = (x.to(device) for x in features())
    exact = critic(local, whole)
    exact.square().mean().backward()
    gradients = [parameter.grad.clone() for parameter in critic.parameters()]
    critic.zero_grad()
    critic.product_dtype = torch.bfloat16
    rounded = critic(local, whole)
    rounded.square().mean().backward()
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)
    for parameter, gradient in zip(critic.parameters(), gradients, strict=True):
        assert parameter.grad.dtype == torch.float32
        torch.testing.assert_close(parameter.grad, gradient, rtol=0.1, atol=0.05)


@every_critic
def test_scores_of_several_views_are_those_of_each(kind):
    critic = built(kind)
    views = [features(n=4, m=6), features(n=4, m=6)]
    views[1] = tuple(x.flip(0) for x in views[1])
    local, whole = (torch.stack(x) for x in zip(*views, strict=True))
    expected = torch.stack([critic(*view) for view in views])
    torch.testing.assert_close(critic(local, whole), expected)
