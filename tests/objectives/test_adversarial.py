import math

import pytest
import torch
from torch import Generator

from skdeep.objectives.adversarial import (
    discriminator_loss,
    gradient_penalty,
    minimax_generator_loss,
    non_saturating_generator_loss,
    r1_penalty,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)

TWO_SIDED = [discriminator_loss, wasserstein_critic_loss]
OF_THE_GENERATOR = [
    non_saturating_generator_loss,
    minimax_generator_loss,
    wasserstein_generator_loss,
]
two_sided = pytest.mark.parametrize("loss", TWO_SIDED)
of_the_generator = pytest.mark.parametrize("loss", OF_THE_GENERATOR)


def normal(*shape, seed=0, dtype=torch.float64):
    rng = Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=dtype)


def generator(device="cpu", seed=0):
    return Generator(device).manual_seed(seed)


def sigma(t):
    return 1 / (1 + math.exp(-t))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


NAIVE = {
    discriminator_loss: lambda real, fake: (
        -mean(math.log(sigma(t)) for t in real)
        - mean(math.log(1 - sigma(t)) for t in fake)
    ),
    wasserstein_critic_loss: lambda real, fake: mean(fake) - mean(real),
    non_saturating_generator_loss: lambda fake: -mean(math.log(sigma(t)) for t in fake),
    minimax_generator_loss: lambda fake: mean(math.log(1 - sigma(t)) for t in fake),
    wasserstein_generator_loss: lambda fake: -mean(fake),
}


# Probabilities of being real: 3/4 and 1/2 of real rows, 1/4 and 1/2 of generated ones.
REAL = torch.tensor([3.0, 1.0]).log()
FAKE = torch.tensor([1 / 3, 1.0]).log()


@pytest.mark.parametrize(
    ("loss", "arguments", "expected"),
    [
        (discriminator_loss, (REAL, FAKE), -math.log(3 / 4 * 1 / 2)),
        (non_saturating_generator_loss, (FAKE,), -math.log(1 / 4 * 1 / 2) / 2),
        (minimax_generator_loss, (FAKE,), math.log(3 / 4 * 1 / 2) / 2),
        (wasserstein_critic_loss, (REAL, FAKE), -math.log(3)),
        (wasserstein_generator_loss, (FAKE,), math.log(3) / 2),
    ],
)
def test_worked_example(loss, arguments, expected):
    found = loss(*arguments)
    assert found.shape == ()
    assert float(found) == pytest.approx(expected)


@two_sided
def test_losses_of_the_discriminator_equal_the_naive_loop(loss, device):
    real, fake = normal(5), normal(7, seed=1)
    expected = NAIVE[loss](real.tolist(), fake.tolist())
    found = loss(real.to(device), fake.to(device))
    assert float(found) == pytest.approx(expected)


@of_the_generator
def test_losses_of_the_generator_equal_the_naive_loop(loss, device):
    fake = normal(7)
    expected = NAIVE[loss](fake.tolist())
    assert float(loss(fake.to(device))) == pytest.approx(expected)


def test_order_of_rows_and_shape_of_logits_do_not_matter():
    real, fake = normal(6), normal(6, seed=1)
    for loss in TWO_SIDED:
        found = loss(real.flip(0)[:, None], fake.reshape(2, 3))
        torch.testing.assert_close(found, loss(real, fake))
    for loss in OF_THE_GENERATOR:
        torch.testing.assert_close(loss(fake.flip(0)[:, None]), loss(fake))


def test_gradients_are_those_of_finite_differences():
    real, fake = normal(3).requires_grad_(), normal(4, seed=1).requires_grad_()
    for loss in TWO_SIDED:
        assert torch.autograd.gradcheck(loss, (real, fake))
    for loss in OF_THE_GENERATOR:
        assert torch.autograd.gradcheck(loss, fake)


def test_discriminator_that_knows_nothing_loses_two_log_two():
    nothing = torch.zeros(5)
    assert float(discriminator_loss(nothing, nothing)) == pytest.approx(2 * math.log(2))


@two_sided
@pytest.mark.parametrize("adversary", OF_THE_GENERATOR)
def test_the_two_sides_pull_generated_rows_apart(loss, adversary):
    real, fake = normal(5), normal(5, seed=1).requires_grad_()
    (down,) = torch.autograd.grad(loss(real, fake), fake)
    (up,) = torch.autograd.grad(adversary(fake), fake)
    assert (down > 0).all()
    assert (up < 0).all()


def test_minimax_saturates_where_the_other_loss_does_not():
    fake = torch.tensor([-20.0], requires_grad=True)
    (saturated,) = torch.autograd.grad(minimax_generator_loss(fake), fake)
    (steep,) = torch.autograd.grad(non_saturating_generator_loss(fake), fake)
    assert abs(float(saturated)) < 1e-8
    assert float(steep) == pytest.approx(-1)


@pytest.mark.parametrize("far", [30.0, 1e4, -1e4])
def test_extreme_logits_stay_finite(far, device):
    for loss in [*TWO_SIDED, *OF_THE_GENERATOR]:
        logits = far * torch.tensor([1.0, -1.0, 0.0], device=device)
        logits.requires_grad_()
        found = loss(logits, logits) if loss in TWO_SIDED else loss(logits)
        found.backward()
        assert torch.isfinite(found)
        assert torch.isfinite(logits.grad).all()


def test_confident_errors_cost_their_size_and_right_answers_nothing():
    far = torch.tensor([1e4])
    assert float(discriminator_loss(far, -far)) == 0
    assert float(discriminator_loss(-far, far)) == pytest.approx(2e4)
    assert float(non_saturating_generator_loss(-far)) == pytest.approx(1e4)


# penalties


def affine(x):
    return x @ torch.tensor([3.0, 4.0], dtype=x.dtype, device=x.device) + 7


def quadratic(x):
    return x.square().sum(1, keepdim=True) / 2  # its gradient is x


def test_penalties_of_an_affine_critic_are_those_of_its_slope(device):
    real, fake = normal(6, 2).to(device), normal(6, 2, seed=1).to(device)
    # The slope is 5 everywhere: (5 - 1)^2 and 5^2 / 2.
    found = gradient_penalty(affine, real, fake, generator(device))
    assert float(found.detach()) == pytest.approx(16)
    assert float(r1_penalty(affine, real).detach()) == pytest.approx(12.5)
    unit = gradient_penalty(lambda x: affine(x) / 5, real, fake, generator(device))
    assert float(unit.detach()) == pytest.approx(0, abs=1e-12)


def test_penalties_of_a_quadratic_critic_equal_the_naive_loop():
    real, fake = normal(6, 3), normal(6, 3, seed=1)
    u = torch.rand(6, 1, generator=generator(), dtype=torch.float64)
    between = (u * real + (1 - u) * fake).tolist()
    expected = mean((math.hypot(*x) - 1) ** 2 for x in between)
    found = gradient_penalty(quadratic, real, fake, generator())
    assert found.item() == pytest.approx(expected)
    expected = mean(math.hypot(*x) ** 2 / 2 for x in real.tolist())
    assert r1_penalty(quadratic, real).item() == pytest.approx(expected)


def test_interpolates_lie_on_the_lines_between_the_rows():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return quadratic(x.flatten(1))

    real, fake = normal(500, 2, 2), normal(500, 2, 2, seed=1)
    gradient_penalty(critic, real, fake, generator())
    share = (seen[0] - fake) / (real - fake)
    torch.testing.assert_close(share, share[:, :1, :1].expand_as(share))
    share = share[:, 0, 0]
    assert 0 < share.min() < 0.05
    assert 0.95 < share.max() < 1
    assert abs(share.mean() - 0.5) < 0.05


def test_penalty_draws_from_its_generator_alone():
    real, fake = normal(6, 3), normal(6, 3, seed=1)
    before = torch.get_rng_state()
    first, same, other = (
        gradient_penalty(quadratic, real, fake, generator(seed=s)) for s in (3, 3, 4)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_penalties_lead_the_critic_and_not_the_rows():
    weight = normal(3, 4).requires_grad_()
    real = normal(5, 3, seed=1).requires_grad_()

    def critic(x):
        return torch.tanh(x @ weight).sum(1)

    for penalty in (
        r1_penalty(critic, real),
        gradient_penalty(critic, real, real + 1, generator()),
    ):
        (gradient,) = torch.autograd.grad(penalty, weight)
        assert gradient.abs().sum() > 0
    r1_penalty(critic, real).backward()
    assert real.grad is None


def test_gradients_of_penalties_are_those_of_finite_differences():
    weight, real = normal(3, 4).requires_grad_(), normal(5, 3, seed=1)

    def penalties(weight):
        def critic(x):
            return torch.tanh(x @ weight).sum(1)

        lipschitz = gradient_penalty(critic, real, real + 1, generator())
        return lipschitz, r1_penalty(critic, real)

    assert torch.autograd.gradcheck(penalties, weight)


def test_flat_critic_has_penalties_with_finite_gradients(device):
    weight = torch.zeros(3, 1, device=device, requires_grad=True)
    real = normal(5, 3).float().to(device)

    def critic(x):
        return x @ weight

    lipschitz = gradient_penalty(critic, real, -real, generator(device))
    flat = r1_penalty(critic, real)
    (lipschitz + flat).backward()
    assert lipschitz.item() == 1
    assert flat.item() == 0
    assert torch.isfinite(weight.grad).all()


def test_one_row_has_penalties():
    row = normal(1, 2)
    assert r1_penalty(affine, row).item() == pytest.approx(12.5)
    found = gradient_penalty(affine, row, -row, generator())
    assert found.item() == pytest.approx(16)
