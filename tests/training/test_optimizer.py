import copy
import pickle
import weakref

import pytest
import torch
from torch import Generator

from skdeep.base import network_copy
from skdeep.nn import MLP, ConvDecoder, ConvEncoder, initialized
from skdeep.training import Adam
from skdeep.training.optimizer import SWEEP

IMAGE = {"image_shape": (1, 6, 6), "channels": (3, 4), "n_components": 3}
KINDS = {
    "one layer": (MLP, {"sizes": (36, 3)}),
    "dense": (MLP, {"sizes": (36, 16, 8, 3)}),
    "convolutional": (ConvEncoder, IMAGE),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_precision = pytest.mark.parametrize("precision", ["float32", "bfloat16"])
fused_or_not = pytest.mark.parametrize("fused_layers", [True, False])


def built(kind, seed=0, device="cpu"):
    network, arguments = KINDS[kind]
    rng = Generator().manual_seed(seed)
    return initialized(network, rng, **arguments).to(device)


def mlp(*sizes, seed=0, device="cpu"):
    rng = Generator().manual_seed(seed)
    return initialized(MLP, rng, sizes=sizes).to(device)


def normal(*shape, seed=0, device="cpu"):
    return torch.randn(*shape, generator=Generator().manual_seed(seed)).to(device)


def batches(n_steps, n=20, n_features=36, device="cpu"):
    return [normal(n, n_features, seed=s, device=device) for s in range(n_steps)]


def weights(*networks):
    return [p.detach().clone() for net in networks for p in net.parameters()]


def gradients(*networks):
    found = []
    for network in networks:
        if getattr(network, "stack", None) is None:
            found += [p.grad.clone() for p in network.parameters()]
        else:
            found += [g.float() for layer in network.stack.gradients for g in layer]
    return found


def same(these, those):
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


class TorchAdam:
    """torch's AdamW on copies of networks and tensors, of which the former decay."""

    def __init__(self, networks, tensors=(), *, learning_rate, weight_decay=0.0):
        self.networks = copy.deepcopy(networks)
        self.tensors = [t.detach().clone().requires_grad_() for t in tensors]
        parameters = [p for net in self.networks for p in net.parameters()]
        groups = [{"params": parameters}] * bool(parameters)
        self.optimizer = torch.optim.AdamW(
            [*groups, {"params": self.tensors, "weight_decay": 0.0}],
            lr=learning_rate,
            weight_decay=weight_decay,
            fused=False,
            foreach=False,
        )

    def step(self, loss):
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self.optimizer.step()


# equal to torch's


@fused_or_not
@every_kind
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_each_step_is_that_of_torch(kind, weight_decay, fused_layers, device):
    network = built(kind, device=device)
    options = {"learning_rate": 0.01, "weight_decay": weight_decay}
    reference = TorchAdam([network], **options)
    adam = Adam([network], precision="float32", fused_layers=fused_layers, **options)
    for x in batches(5, device=device):
        with adam.training():
            adam.step(network(x).square().mean())
        reference.step(reference.networks[0](x).square().mean())
        torch.testing.assert_close(
            weights(network), weights(*reference.networks), rtol=1e-4, atol=1e-5
        )


@fused_or_not
def test_networks_and_tensors_move_together_as_with_torch(fused_layers, device):
    # A convolutional network before a dense one: their order in memory is another.
    encoder, decoder = built("convolutional"), mlp(3, 8, 36, seed=1)
    networks = [encoder.to(device), decoder.to(device)]
    centers = normal(4, 3, seed=2, device=device).requires_grad_()
    offset = torch.zeros((), device=device, requires_grad=True)
    options = {"learning_rate": 0.01, "weight_decay": 0.1}
    reference = TorchAdam(networks, [centers, offset], **options)
    adam = Adam(
        networks,
        [centers, offset],
        precision="float32",
        fused_layers=fused_layers,
        **options,
    )

    def loss(x, encoder, decoder, centers, offset):
        z = encoder(x) + offset
        return (decoder(z) - x).square().mean() + torch.cdist(z, centers).mean()

    with adam.training():
        for x in batches(5, device=device):
            adam.step(loss(x, *networks, centers, offset))
            reference.step(loss(x, *reference.networks, *reference.tensors))
            torch.testing.assert_close(
                [*weights(*networks), centers, offset],
                [*weights(*reference.networks), *reference.tensors],
                rtol=1e-4,
                atol=1e-5,
            )


def test_tensors_move_without_networks():
    x = torch.tensor([3.0, -1.0], requires_grad=True)
    reference = TorchAdam([], [x], learning_rate=0.5)
    adam = Adam([], [x], learning_rate=0.5)
    with adam.training():
        for _ in range(3):
            adam.step(x.square().sum())
            reference.step(reference.tensors[0].square().sum())
            torch.testing.assert_close(x, reference.tensors[0])


def test_first_step_is_the_learning_rate_against_the_sign_of_the_gradient():
    x = torch.tensor([3.0, -1.0, 0.0], requires_grad=True)
    adam = Adam([], [x], learning_rate=0.25)
    with adam.training():
        adam.step(x.square().sum())
    torch.testing.assert_close(x.detach(), torch.tensor([2.75, -0.75, 0.0]))


@fused_or_not
def test_learning_rate_may_change_between_steps(fused_layers):
    network = mlp(36, 8, 3)
    reference = TorchAdam([network], learning_rate=7.0)
    adam = Adam([network], learning_rate=7.0, fused_layers=fused_layers)
    with adam.training():
        for x, rate in zip(batches(4), [0.1, 0.0, 0.001, 0.05], strict=True):
            adam.learning_rate = rate
            reference.optimizer.param_groups[0]["lr"] = rate
            before = weights(network)
            adam.step(network(x).square().mean())
            reference.step(reference.networks[0](x).square().mean())
            assert same(weights(network), before) == (rate == 0)
            torch.testing.assert_close(weights(network), weights(*reference.networks))


@fused_or_not
def test_factors_are_learning_rates_of_their_own(fused_layers, device):
    # In memory the dense networks come first, whatever the order of the arguments.
    networks = [built("convolutional", device=device), mlp(3, 8, 4, device=device)]
    networks.append(mlp(4, 2, seed=1, device=device))
    center = torch.ones(2, device=device, requires_grad=True)
    factors = [0.25, 4.0, 4.0]
    references = [
        TorchAdam([network], learning_rate=0.01 * factor, weight_decay=0.5)
        for network, factor in zip(networks, factors, strict=True)
    ]
    references.append(TorchAdam([], [center], learning_rate=0.01, weight_decay=0.5))
    adam = Adam(
        networks,
        [center],
        learning_rate=1.0,
        learning_rate_factors=factors,
        weight_decay=0.5,
        precision="float32",
        fused_layers=fused_layers,
    )

    def loss(x, networks, center):
        for network in networks:
            x = network(x)
        return (x - center).square().mean()

    with adam.training():
        for x in batches(5, device=device):
            adam.learning_rate = 0.01  # a schedule rules all of them
            adam.step(loss(x, networks, center))
            copies = [reference.networks[0] for reference in references[:-1]]
            (copy_of_center,) = references[-1].tensors
            for reference in references:
                reference.optimizer.zero_grad(set_to_none=False)
            loss(x, copies, copy_of_center).backward()
            for reference in references:
                reference.optimizer.step()
            torch.testing.assert_close(
                [*weights(*networks), center],
                [*weights(*copies), copy_of_center],
                rtol=1e-4,
                atol=1e-5,
            )


def test_factors_must_be_one_a_network():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        Adam([mlp(3, 2), mlp(2, 3)], learning_rate=1.0, learning_rate_factors=[1.0])


# gradients


@every_kind
@fused_or_not
def test_network_used_twice_gets_both_gradients(kind, fused_layers, device):
    network = built(kind, device=device)
    reference = copy.deepcopy(network)
    x, y = batches(2, device=device)
    adam = Adam(
        [network], learning_rate=0.01, precision="float32", fused_layers=fused_layers
    )

    def loss(network):
        return (network(x) * network(y)).mean() + network(x + y).square().mean()

    with adam.training():
        for _ in range(2):  # what the first step left does not add to the second
            reference.load_state_dict(network.state_dict())
            reference.zero_grad()
            adam.step(loss(network))
            loss(reference).backward()
            torch.testing.assert_close(gradients(network), gradients(reference))


@every_precision
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_only_decay_moves_what_the_loss_does_not_depend_on(
    weight_decay, precision, device
):
    used, unused = mlp(36, 8, 3, device=device), mlp(36, 8, 3, seed=1, device=device)
    idle = built("convolutional", device=device)
    center = torch.ones(3, device=device, requires_grad=True)
    adam = Adam(
        [unused, used, idle],
        [center],
        learning_rate=0.1,
        weight_decay=weight_decay,
        precision=precision,
    )
    (x,) = batches(1, device=device)
    with adam.training():
        kept, moved = weights(unused, idle), weights(used)
        unused(x), idle(x)  # they run, but do not enter the loss
        adam.step(used(x).square().mean())
        shrunk = [(1 - 0.1 * weight_decay) * weight for weight in kept]
        torch.testing.assert_close(weights(unused, idle), shrunk)
        assert torch.equal(center, torch.ones_like(center))  # tensors do not decay
        assert not same(weights(used), moved)


@every_precision
def test_gradient_of_an_earlier_step_is_forgotten(precision):
    first, second = mlp(36, 8, 3), mlp(36, 8, 3, seed=1)
    networks = [first, second, built("convolutional")]
    adam = Adam(networks, learning_rate=0.1, precision=precision)
    x, y = batches(2)
    with adam.training():
        adam.step(sum(network(x).square().mean() for network in networks))
        adam.step(first(y).square().mean())
        for network in networks[1:]:
            assert all((gradient == 0).all() for gradient in gradients(network))


@fused_or_not
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_two_optimisers_share_a_graph_as_with_torch(kind, fused_layers, device):
    generator = mlp(5, 16, 36, device=device)
    discriminator = built(kind, seed=1, device=device)
    options = {"learning_rate": 0.01, "weight_decay": 0.1}
    references = [TorchAdam([net], **options) for net in (generator, discriminator)]
    adams = [
        Adam([net], precision="float32", fused_layers=fused_layers, **options)
        for net in (generator, discriminator)
    ]

    def adversarial_step(x, z, generator, discriminator, adams):
        fake = generator(z)
        real_score, fake_score = discriminator(x), discriminator(fake.detach())
        adams[1].step(((1 - real_score).square() + fake_score.square()).mean())
        adams[0].step((1 - discriminator(fake)).square().mean())

    with adams[0].training(), adams[1].training():
        for seed, x in enumerate(batches(5, device=device)):
            z = normal(len(x), 5, seed=100 + seed, device=device)
            adversarial_step(x, z, generator, discriminator, adams)
            copies = [reference.networks[0] for reference in references]
            adversarial_step(x, z, *copies, references)
            torch.testing.assert_close(
                weights(generator, discriminator),
                weights(*copies),
                rtol=1e-4,
                atol=1e-5,
            )


@every_kind
@fused_or_not
def test_bfloat16_gradients_are_near_the_float32_ones(kind, fused_layers, device):
    found = {}
    for precision in ("float32", "bfloat16"):
        network, (x,) = built(kind, device=device), batches(1, 50, device=device)
        adam = Adam(
            [network],
            learning_rate=0.01,
            precision=precision,
            fused_layers=fused_layers,
        )
        with adam.training():
            adam.step(network(x).square().mean())
            # The vector of all gradients: those of fused layers are written in it.
            found[precision] = torch.cat([g.flatten() for g in gradients(network)])
    exact, rounded = found["float32"], found["bfloat16"]
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.linalg.norm(rounded - exact) < 0.05 * torch.linalg.norm(exact)


@every_precision
def test_gradients_of_gradients_flow_where_layers_are_not_fused(precision):
    network = mlp(36, 8, 1)
    adam = Adam([network], learning_rate=0.1, precision=precision, fused_layers=False)
    x = normal(20, 36).requires_grad_()
    with adam.training():
        penalties = []
        for _ in range(20):
            (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
            penalty = (slope.norm(dim=1) - 1).square().mean()
            adam.step(penalty)
            penalties.append(penalty.item())
    assert penalties[-1] < 0.1 * penalties[0]


# weights


@every_kind
@every_precision
def test_weights_stay_float32_and_are_those_of_the_state(kind, precision, device):
    network = built(kind, device=device)
    names = list(network.state_dict())
    adam = Adam([network], learning_rate=0.1, precision=precision)
    with adam.training():
        for x in batches(2, device=device):
            before = copy.deepcopy(network.state_dict())
            adam.step(network(x).square().mean())
            state = network.state_dict()
            assert list(state) == names
            assert same(state.values(), [p.detach() for p in network.parameters()])
            for name, weight in state.items():
                assert weight.dtype == torch.float32
                assert not torch.equal(weight, before[name])


def test_weights_keep_their_values_when_an_optimiser_takes_them():
    networks = [built("convolutional"), mlp(3, 8, 36)]
    transposed = normal(3, 4).T.requires_grad_()
    before, kept = weights(*networks), transposed.detach().clone()
    for _ in range(2):  # and when another does, after it
        Adam(networks, [transposed], learning_rate=0.1)
        assert same(weights(*networks), before)
        assert torch.equal(transposed, kept)


@every_kind
@every_precision
def test_weights_set_between_trainings_are_trained(kind, precision):
    first, second = built(kind), built(kind, seed=1)
    adam = Adam([first], learning_rate=0.1, precision=precision)
    other = Adam([second], learning_rate=0.1, precision=precision)
    first.load_state_dict(second.state_dict())
    (x,) = batches(1)
    for network, optimizer in ((first, adam), (second, other)):
        with optimizer.training():
            optimizer.step(network(x).square().mean())
    assert same(weights(first), weights(second))


@every_kind
@every_precision
def test_the_same_steps_give_the_same_bits(kind, precision):
    found = []
    for _ in range(2):
        network = built(kind)
        adam = Adam([network], learning_rate=0.1, precision=precision)
        with adam.training():
            for x in batches(3):
                adam.step(network(x).square().mean())
        found.append(weights(network))
    assert same(*found)


def test_training_in_parts_is_training():
    found = []
    for parts in (1, 4):
        network = mlp(36, 8, 3)
        adam = Adam([network], learning_rate=0.1, precision="bfloat16")
        data = batches(4)
        for part in range(parts):
            with adam.training():
                for x in data[part::parts]:
                    adam.step(network(x).square().mean())
        found.append(weights(network))
    assert same(*found)


# the context


@every_kind
@every_precision
@pytest.mark.parametrize("failing", [False, True])
def test_networks_infer_exactly_after_training(kind, precision, failing, device):
    network = built(kind, device=device)
    center = torch.zeros(3, device=device, requires_grad=True)
    adam = Adam([network], [center], learning_rate=0.1, precision=precision)
    (x,) = batches(1, device=device)
    try:
        with adam.training():
            assert network.training
            adam.step((network(x) - center).square().mean())
            if failing:
                raise KeyError
    except KeyError:
        pass
    assert not network.training
    assert network.product_dtype is torch.float32
    assert all(p.grad is None for p in [*network.parameters(), center])
    plain = network_copy(network).to(device)
    assert torch.equal(network(x), plain(x))
    # Gradients are autograd's again, and move nothing of the optimiser's.
    network(x).square().mean().backward()
    plain(x).square().mean().backward()
    torch.testing.assert_close(gradients(network), gradients(plain))


@every_kind
@every_precision
@pytest.mark.parametrize("failing", [False, True])
def test_networks_infer_in_the_type_of_the_products_where_asked(
    kind, precision, failing, device
):
    network = built(kind, device=device)
    adam = Adam([network], learning_rate=0.1, precision=precision)
    (x,) = batches(1, device=device)
    with torch.inference_mode():
        exact = network.eval()(x)
        try:
            with adam.inference():
                found = network(x)
                if failing:
                    raise KeyError
        except KeyError:
            pass
        assert torch.equal(network(x), exact)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact) == (adam.dtype == torch.float32)
    torch.testing.assert_close(found, exact, rtol=0.02, atol=0.02)


@every_kind
@every_precision
@pytest.mark.parametrize("inferring", [torch.no_grad, torch.inference_mode])
def test_inference_during_training_is_exact(kind, precision, inferring, device):
    network = built(kind, device=device)
    adam = Adam([network], learning_rate=0.1, precision=precision)
    x, y = batches(2, device=device)
    with adam.training():
        adam.step(network(x).square().mean())
        with inferring():
            found = network(y)
        rounded = network(y).detach()
    with inferring():
        assert torch.equal(found, network(y))
    assert torch.equal(found, rounded) == (precision == "float32")


@every_kind
@every_precision
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, network_copy, lambda network: pickle.loads(pickle.dumps(network))],
    ids=["deepcopy", "network_copy", "pickle"],
)
def test_copy_made_in_training_is_free_of_the_optimiser(kind, precision, copied):
    network, (x, y) = built(kind), batches(2)
    adam = Adam([network], learning_rate=0.1, precision=precision)
    with adam.training():
        adam.step(network(x).square().mean())
        twin = copied(network)
        kept = weights(network)
        assert same(weights(twin), kept)
        adam.step(network(y).square().mean())
        assert same(weights(twin), kept)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    assert (twin(x) == 0).all()  # its weights are what it multiplies by
    assert not same(weights(network), weights(twin))


def test_several_kinds_of_network_train_together():
    encoder = built("convolutional")
    decoder = initialized(ConvDecoder, Generator().manual_seed(1), **IMAGE)
    critic = mlp(3, 8, 1)
    adam = Adam([encoder, decoder, critic], learning_rate=0.01)
    (x,) = batches(1)
    losses = []
    with adam.training():
        for _ in range(30):
            z = encoder(x)
            loss = (decoder(z) - x).square().mean() + critic(z).square().mean()
            adam.step(loss)
            losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_finished_optimiser_keeps_the_weights_alone(precision):
    network = mlp(4, 8, 2)
    optimizer = Adam([network], learning_rate=1e-2, precision=precision)
    with optimizer.training():
        optimizer.step(network(normal(5, 4)).square().mean())
    expected = network(normal(5, 4))
    moved = [weakref.ref(tensor) for tensor in optimizer.state()["tensors"][1:3]]
    optimizer.finish()
    assert [tensor() for tensor in moved] == [None, None]  # means, and what views them
    assert torch.equal(network(normal(5, 4)), expected)
    with pytest.raises(RuntimeError, match="has finished"), optimizer.training():
        pass


def test_step_outside_of_training_is_refused():
    network = mlp(3, 2)
    optimizer = Adam([network], learning_rate=1e-2)
    with pytest.raises(RuntimeError, match="training"):
        optimizer.step(network(torch.ones(1, 3)).sum())


# gradients that are shortened, and other decays


@every_precision
@every_kind
def test_long_gradients_are_shortened_to_the_length_asked_for(kind, precision):
    network, x = built(kind), normal(8, 36)
    options = {"learning_rate": 1e-3, "precision": precision}
    optimizer = Adam([network], max_gradient_norm=0.5, **options)
    with optimizer.training():
        optimizer.step(1e4 * network(x).square().sum())
        length = torch.cat([g.flatten() for g in gradients(network)]).norm()
    assert length == pytest.approx(0.5, rel=1e-2)  # bfloat16 rounds


def test_short_gradients_stay_as_they_are():
    def moved(limit):
        network = mlp(3, 4, 2)
        optimizer = Adam([network], learning_rate=1e-3, max_gradient_norm=limit)
        with optimizer.training():
            optimizer.step(network(torch.ones(2, 3)).square().sum())
        return weights(network)

    assert same(moved(None), moved(1e6))


def test_a_gradient_of_zero_stays_finite_when_it_is_bounded():
    network = mlp(3, 2)
    optimizer = Adam([network], learning_rate=1e-3, max_gradient_norm=1.0)
    with optimizer.training():
        optimizer.step(0 * network(torch.ones(2, 3)).sum())
    assert all(w.isfinite().all() for w in weights(network))


def test_other_betas_move_as_torch_does():
    network = mlp(3, 4, 2)
    theirs = TorchAdam([network], learning_rate=1e-2)
    for group in theirs.optimizer.param_groups:
        group["betas"] = (0.5, 0.9)
    ours = Adam([network], learning_rate=1e-2, betas=(0.5, 0.9))
    with ours.training():
        for x in batches(4, n_features=3):
            theirs.step(theirs.networks[0](x).square().sum())
            ours.step(network(x).square().sum())
    for w, expected in zip(weights(network), weights(*theirs.networks), strict=True):
        torch.testing.assert_close(w, expected, atol=1e-6, rtol=1e-5)


@every_kind
@fused_or_not
def test_frozen_networks_pass_the_gradient_of_another_ones_loss(
    kind, fused_layers, device
):
    first, second = mlp(5, 36, device=device), built(kind, device=device)
    adam = Adam([first], learning_rate=1e-2)
    frozen = Adam([second], learning_rate=1e-2, fused_layers=fused_layers)
    x = normal(20, 5, device=device)
    with adam.training(), frozen.training():
        frozen.step(second(first(x).detach()).square().sum())
        before, moved = gradients(second), weights(first)
        with frozen.frozen():
            loss = second(first(x)).square().sum()
        adam.step(loss)
        assert same(gradients(second), before)
        assert not any(map(torch.equal, weights(first), moved))
        free = gradients(first)
        first_again = mlp(5, 36, device=device)
        torch.nn.utils.vector_to_parameters(
            torch.cat([w.flatten() for w in moved]), first_again.parameters()
        )
        second(first_again(x)).square().sum().backward()
        expected = [p.grad for p in first_again.parameters()]
        torch.testing.assert_close(free, expected, rtol=1e-4, atol=1e-4)


@fused_or_not
def test_frozen_networks_train_again_outside(fused_layers, device):
    network = mlp(36, 8, 3, device=device)
    adam = Adam([network], learning_rate=1e-2, fused_layers=fused_layers)
    x = normal(20, 36, device=device).requires_grad_()
    with adam.training():
        with adam.frozen():
            network(x).sum().backward()
        before = weights(network)
        adam.step(network(x).square().sum())
    assert all(p.requires_grad for p in network.parameters())
    assert not any(map(torch.equal, weights(network), before))


def test_running_means_of_what_no_loss_moves_fade_to_zero(device):
    moved = torch.ones(99, device=device, requires_grad=True)
    adam = Adam([], [moved], learning_rate=0.01)
    other = TorchAdam([], [moved], learning_rate=0.01)
    with adam.training():
        for step in range(16 * SWEEP):
            share = float(step < 3)
            adam.step(share * moved.sum())
            other.step(share * other.tensors[0].sum())
    assert torch.equal(moved, other.tensors[0])
    if device.type == "cpu":
        # Processors are slow at numbers so small, and these do not get smaller.
        fading = other.optimizer.state[other.tensors[0]]["exp_avg"]
        assert (fading > 0).all()
        assert (fading < torch.finfo(torch.float32).tiny).all()
        assert (adam.state()["tensors"][1] == 0).all()
