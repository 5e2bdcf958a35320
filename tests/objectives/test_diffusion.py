import itertools
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from skdeep.objectives.diffusion import (
    DENOISING_LOSSES,
    SCHEDULES,
    ancestral_step,
    cosine_betas,
    decoder_log_prob,
    diffused,
    divergence,
    epsilon_from_v,
    epsilon_loss,
    estimated_divergence,
    guided,
    heun_step,
    implicit_step,
    linear_betas,
    posterior,
    prior_kl,
    rates,
    transition_kl,
    v_loss,
    velocity,
    x_0_from_v,
)

every_schedule = pytest.mark.parametrize("name", SCHEDULES)
every_loss = pytest.mark.parametrize("name", DENOISING_LOSSES)


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def pairs_of(n, seed=0):
    """Rates of n rows, each at a time of its own."""
    rng = torch.Generator().manual_seed(seed)
    angle = (0.05 + 1.45 * torch.rand(n, 1, generator=rng)).double()
    return angle.cos(), angle.sin()


# Two times, u < t, of which all figures are easy: a^2 + s^2 = 1.
LATE, EARLY = (0.6, 0.8), (0.8, 0.6)


# schedules


def test_linear_variances_are_those_of_the_paper():
    betas = linear_betas(1000)
    assert betas.dtype == torch.float64
    assert float(betas[0]) == pytest.approx(1e-4)
    assert float(betas[-1]) == pytest.approx(0.02)
    assert torch.diff(betas).std() < 1e-12


def test_linear_variances_add_as_much_noise_in_fewer_steps():
    _, many = rates(linear_betas(1000))
    _, few = rates(linear_betas(100))
    torch.testing.assert_close(few, many[::10], atol=0.02, rtol=0)


def test_worked_example_of_cosine_variances():
    def alpha_bar(t):
        return math.cos((t / 2 + 0.008) / 1.008 * math.pi / 2) ** 2

    first = 1 - alpha_bar(1) / alpha_bar(0)
    assert cosine_betas(2).tolist() == pytest.approx([first, 0.999])


@pytest.mark.parametrize("n_timesteps", [2, 10, 1000])
def test_cosine_schedule_turns_the_angle_at_a_steady_pace(n_timesteps):
    a, s = rates(cosine_betas(n_timesteps))
    angle = torch.atan2(s, a)[1:-1]  # the last step is cut
    share = torch.arange(1, n_timesteps, dtype=torch.float64) / n_timesteps
    torch.testing.assert_close(angle, share * math.pi / 2, atol=0.02, rtol=0)


@every_schedule
@pytest.mark.parametrize("n_timesteps", [2, 7, 1000])
def test_schedules_lead_from_rows_to_noise(name, n_timesteps):
    betas = SCHEDULES[name](n_timesteps)
    assert betas.shape == (n_timesteps,)
    assert (betas > 0).all()
    assert (betas <= 0.999).all()
    a, s = rates(betas)
    assert (a[0], s[0]) == (1, 0)
    assert a[-1] < 0.05
    assert s[-1] > 0.99
    assert (torch.diff(a) < 0).all()
    assert (torch.diff(s) >= 0).all()


def test_rates_equal_the_naive_product():
    betas = torch.tensor([0.1, 0.5, 0.2, 0.9], dtype=torch.float64)
    a, s = rates(betas)
    alpha_bar = 1.0
    for t, beta in enumerate(betas.tolist(), start=1):
        alpha_bar *= 1 - beta
        assert float(a[t]) == pytest.approx(math.sqrt(alpha_bar))
        assert float(s[t]) == pytest.approx(math.sqrt(1 - alpha_bar))


def test_tiny_variances_keep_their_digits():
    _, s = rates(torch.full((3,), 1e-18, dtype=torch.float64))
    expected = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64).sqrt() * 1e-9
    torch.testing.assert_close(s, expected, rtol=1e-12, atol=0)


def test_all_steps_at_once_are_the_steps_one_by_one():
    betas = linear_betas(20)
    a, s = rates(betas)
    # Mean and variance of x_t given x_0 = 1.
    mean, variance = 1.0, 0.0
    for t, beta in enumerate(betas.tolist(), start=1):
        mean *= math.sqrt(1 - beta)
        variance = (1 - beta) * variance + beta
        assert float(a[t]) == pytest.approx(mean)
        assert float(s[t]) ** 2 == pytest.approx(variance)


# what a network may be asked for


def test_worked_example_of_a_diffused_row():
    x_0 = torch.tensor([[1.0, -2.0]])
    noise = torch.tensor([[0.5, 1.0]])
    torch.testing.assert_close(diffused(x_0, noise, *LATE), torch.tensor([[1.0, -0.4]]))
    torch.testing.assert_close(velocity(x_0, noise, *LATE), torch.tensor([[-0.5, 2.2]]))


def test_each_target_tells_the_others(device):
    x_0, noise = normal(6, 3).to(device), normal(6, 3, seed=1).to(device)
    a, s = (rate.to(device) for rate in pairs_of(6))
    x_t, v = diffused(x_0, noise, a, s), velocity(x_0, noise, a, s)
    torch.testing.assert_close(x_0_from_v(x_t, v, a, s), x_0)
    torch.testing.assert_close(epsilon_from_v(x_t, v, a, s), noise)
    torch.testing.assert_close((a * x_t - x_0) / s, v)
    torch.testing.assert_close((noise - s * x_t) / a, v)


def test_velocity_is_the_derivative_by_the_angle():
    x_0, noise = normal(4, 3), normal(4, 3, seed=1)
    angle = torch.tensor(0.7, dtype=torch.float64)
    derivative = torch.autograd.functional.jacobian(
        lambda angle: diffused(x_0, noise, angle.cos(), angle.sin()), angle
    )
    torch.testing.assert_close(
        derivative, velocity(x_0, noise, angle.cos(), angle.sin())
    )


def test_score_is_the_slope_of_the_log_density_of_the_noise():
    x_0, noise = normal(5, 2), normal(5, 2, seed=1)
    a, s = pairs_of(5)
    x_t = diffused(x_0, noise, a, s).requires_grad_()
    log_prob = Normal(a * x_0, s).log_prob(x_t).sum()
    (expected,) = torch.autograd.grad(log_prob, x_t)
    epsilon = epsilon_from_v(x_t.detach(), velocity(x_0, noise, a, s), a, s)
    torch.testing.assert_close(-epsilon / s, expected)


def test_guidance_goes_beyond_what_the_class_makes():
    given, free = torch.tensor([[3.0]]), torch.tensor([[1.0]])
    assert guided(given, free, 0.0).item() == 3
    assert guided(given, free, 0.5).item() == 4
    assert guided(given, free, 2.0).item() == 7


def test_guidance_of_noise_and_of_velocity_is_the_same():
    given, free, x_t = normal(3, 2), normal(3, 2, seed=1), normal(3, 2, seed=2)
    a, s = pairs_of(3)
    by_v = epsilon_from_v(x_t, guided(given, free, 1.5), a, s)
    by_noise = guided(
        epsilon_from_v(x_t, given, a, s), epsilon_from_v(x_t, free, a, s), 1.5
    )
    torch.testing.assert_close(by_v, by_noise)


# losses


def test_worked_example_of_the_losses():
    x_0, noise = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 1.0]])
    v = torch.tensor([[0.5, 2.2]])  # the target has -0.5 and 2.2
    assert v_loss(v, x_0, noise, *LATE).item() == pytest.approx(0.5)
    assert epsilon_loss(v, x_0, noise, *LATE).item() == pytest.approx(0.36 * 0.5)


@every_loss
def test_losses_equal_the_naive_loop(name, device):
    v, x_0, noise = (normal(5, 3, seed=seed) for seed in range(3))
    a, s = pairs_of(5)
    total = 0.0
    for i, j in itertools.product(range(5), range(3)):
        a_i, s_i = float(a[i]), float(s[i])
        x_t = a_i * float(x_0[i, j]) + s_i * float(noise[i, j])
        if name == "v":
            wanted, found = (x_t * a_i - float(x_0[i, j])) / s_i, float(v[i, j])
        else:
            wanted, found = float(noise[i, j]), s_i * x_t + a_i * float(v[i, j])
        total += (wanted - found) ** 2
    arguments = (tensor.to(device) for tensor in (v, x_0, noise, a, s))
    loss = DENOISING_LOSSES[name](*arguments)
    assert loss.shape == ()
    assert float(loss) == pytest.approx(total / 15)


@every_loss
def test_losses_vanish_at_the_velocity_alone(name):
    x_0, noise = normal(5, 3), normal(5, 3, seed=1)
    a, s = pairs_of(5)
    v = velocity(x_0, noise, a, s)
    assert DENOISING_LOSSES[name](v, x_0, noise, a, s) < 1e-30
    assert DENOISING_LOSSES[name](v + 0.1, x_0, noise, a, s) > 1e-5


@every_loss
def test_gradients_of_the_losses_are_those_of_finite_differences(name):
    v, x_0, noise = (normal(4, 2, seed=seed) for seed in range(3))
    a, s = pairs_of(4)
    assert torch.autograd.gradcheck(
        lambda v: DENOISING_LOSSES[name](v, x_0, noise, a, s), v.requires_grad_()
    )


# the variational bound


def test_posterior_is_that_of_bayes():
    x_0, x_t = normal(4, 3), normal(4, 3, seed=1)
    (a, s), (a_u, s_u) = LATE, EARLY
    mean, variance = posterior(x_0, x_t, a, s, a_u, s_u)
    # x_u is Gaussian given x_0, and x_t = r x_u + noise: precisions add up.
    r = a / a_u
    step_variance = s**2 - r**2 * s_u**2
    precision = 1 / s_u**2 + r**2 / step_variance
    expected = (a_u * x_0 / s_u**2 + r * x_t / step_variance) / precision
    assert variance == pytest.approx(1 / precision)
    torch.testing.assert_close(mean, expected)


def test_posterior_of_one_step_is_that_of_the_paper():
    betas = linear_betas(50)
    a, s = rates(betas)
    t, beta = 30, float(betas[29])
    x_0, x_t = normal(4, 3), normal(4, 3, seed=1)
    pairs = (float(rate) for rate in (a[t], s[t], a[t - 1], s[t - 1]))
    mean, variance = posterior(x_0, x_t, *pairs)
    bar, bar_before = float(a[t]) ** 2, float(a[t - 1]) ** 2
    expected = (
        math.sqrt(bar_before) * beta / (1 - bar) * x_0
        + math.sqrt(1 - beta) * (1 - bar_before) / (1 - bar) * x_t
    )
    torch.testing.assert_close(mean, expected)
    assert variance == pytest.approx((1 - bar_before) / (1 - bar) * beta)


def test_divergence_of_a_step_is_that_of_two_gaussians():
    x_0, found, x_t = (normal(4, 3, seed=seed) for seed in range(3))
    true_mean, variance = posterior(x_0, x_t, *LATE, *EARLY)
    mean, _ = posterior(found, x_t, *LATE, *EARLY)
    beta = 1 - (LATE[0] / EARLY[0]) ** 2
    deviations = torch.tensor([variance, beta], dtype=torch.float64).sqrt()
    expected = kl_divergence(
        Normal(true_mean, deviations[0]), Normal(mean, deviations[1])
    )
    squares = (x_0 - found).square().sum(1)
    torch.testing.assert_close(
        transition_kl(squares, 3, *LATE, *EARLY), expected.sum(1)
    )


def test_divergence_from_the_prior_is_that_of_two_gaussians():
    x_0 = normal(4, 3)
    for a, s in (LATE, (0.01, math.sqrt(1 - 1e-4))):
        expected = kl_divergence(
            Normal(a * x_0, torch.tensor(s, dtype=torch.float64)), Normal(0.0, 1.0)
        )
        torch.testing.assert_close(prior_kl(x_0, a, s), expected.sum(1))


def test_density_at_the_end_is_that_of_a_gaussian():
    x_0, found = normal(4, 3), normal(4, 3, seed=1)
    a, s = EARLY
    expected = Normal(found, torch.tensor(s / a).double()).log_prob(x_0)
    squares = (x_0 - found).square().sum(1)
    torch.testing.assert_close(decoder_log_prob(squares, 3, a, s), expected.sum(1))


@pytest.mark.parametrize(
    "term",
    [
        lambda x_0, found: prior_kl(x_0, *LATE) + found.sum(1),
        lambda x_0, found: transition_kl((x_0 - found)[:, 0] ** 2, 1, *LATE, *EARLY),
        lambda x_0, found: decoder_log_prob((x_0 - found)[:, 0] ** 2, 1, *EARLY),
        lambda x_0, found: posterior(x_0, found, *LATE, *EARLY)[0],
        lambda x_0, found: implicit_step(x_0, found, *EARLY),
    ],
)
def test_gradients_of_the_terms_are_those_of_finite_differences(term):
    x_0, found = normal(3, 2).requires_grad_(), normal(3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(term, (x_0, found))


@every_schedule
def test_all_terms_of_a_schedule_are_finite(name):
    a, s = (rate.tolist() for rate in rates(SCHEDULES[name](1000)))
    x_0 = 1e4 * torch.ones(2, 3)
    squares = x_0.square().sum(1)
    assert torch.isfinite(prior_kl(x_0, a[-1], s[-1])).all()
    assert torch.isfinite(decoder_log_prob(squares, 3, a[1], s[1])).all()
    for t in range(2, 1001):
        kl = transition_kl(squares, 3, a[t], s[t], a[t - 1], s[t - 1])
        assert torch.isfinite(kl).all()
        assert (kl > 0).all()


# steps back


def test_worked_example_of_the_implicit_step():
    x_0, epsilon = torch.tensor([[1.0]]), torch.tensor([[0.5]])
    step = implicit_step(x_0, epsilon, *EARLY)
    assert step.item() == pytest.approx(0.8 + 0.3)


def test_ancestral_step_has_the_variance_of_the_bound(device):
    x_t, x_0, noise = (normal(5, 3, seed=seed).to(device) for seed in range(3))
    # beta = 1 - (0.6 / 0.8)^2 = 0.4375
    torch.testing.assert_close(
        ancestral_step(x_t, x_0, noise, *LATE, *EARLY),
        posterior(x_0, x_t, *LATE, *EARLY)[0] + math.sqrt(0.4375) * noise,
    )


def test_implicit_step_keeps_the_distribution_of_noise_in_a_known_row():
    n = 200_000
    x_0 = torch.full((n, 1), 2.0)
    epsilon = torch.randn(n, 1, generator=torch.Generator().manual_seed(0))
    x_u = implicit_step(x_0, epsilon, *EARLY)
    assert float(x_u.mean()) == pytest.approx(2 * EARLY[0], abs=0.01)
    assert float(x_u.std()) == pytest.approx(EARLY[1], abs=0.01)


def test_last_step_ends_at_the_row_that_was_found():
    x_t, x_0, epsilon = (normal(5, 3, seed=seed) for seed in range(3))
    end = (1.0, 0.0)
    torch.testing.assert_close(implicit_step(x_0, epsilon, *end), x_0)
    torch.testing.assert_close(ancestral_step(x_t, x_0, epsilon, *LATE, *end), x_0)


# the probability flow


def drift(x_t, score, beta):
    """dx/dt of the variance preserving process: score SDE eqs. (11) and (13)."""
    return -beta / 2 * (x_t + score)


def test_flow_by_time_is_the_velocity_by_the_angle():
    x_t, v = normal(4, 3), normal(4, 3, seed=1)
    time = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    angle = 1.3 * time + 0.2 * time**2
    (pace,) = torch.autograd.grad(angle, time)
    angle = angle.detach()
    # alpha_bar = cos^2 has the derivative -beta alpha_bar.
    beta = 2 * angle.tan() * pace
    a, s = angle.cos(), angle.sin()
    score = -epsilon_from_v(x_t, v, a, s) / s
    torch.testing.assert_close(drift(x_t, score, beta), v * pace)


def test_flow_has_the_variances_of_the_noisy_rows():
    # Rows with variance c: the score of x_t is -x_t / (a^2 c + s^2).
    c, n_steps = 0.3, 2000
    x, width = torch.ones(1, 1, dtype=torch.float64), 1.2 / n_steps
    for k in range(n_steps):
        angle = torch.tensor((k + 0.5) * width)
        a, s = angle.cos(), angle.sin()
        score = -x / (a**2 * c + s**2)
        x = x + width * drift(x, score, 2 * angle.tan())
    end = torch.tensor(1.2)
    expected = ((end.cos() ** 2 * c + end.sin() ** 2) / c).sqrt()
    assert x.item() == pytest.approx(expected.item(), rel=1e-3)


def test_worked_example_of_a_heun_step():
    x = torch.tensor([[1.0]])
    # v = 2 x: foreseen at 1 + 0.1 * 2 is 2.4, and the mean slope 2.2.
    assert heun_step(lambda x: 2 * x, x, 2 * x, 0.1).item() == pytest.approx(1.22)


def test_heun_steps_are_of_second_order():
    def error(n_steps):
        x = torch.ones(1, 1, dtype=torch.float64)
        for _ in range(n_steps):
            x = heun_step(torch.sin, x, x.sin(), 1 / n_steps)
        # dx/dphi = sin x has the solution tan(x / 2) = e^phi tan(x_0 / 2).
        return abs(x.item() - 2 * math.atan(math.e * math.tan(0.5)))

    assert error(20) < 1e-3
    assert error(20) / error(40) == pytest.approx(4, rel=0.1)


def field(x):
    """Mix the columns of each row; its divergence is not constant."""
    mixing = torch.tensor([[1.0, 0.5, 0.0], [-2.0, 0.3, 1.0], [0.7, 0.0, -1.0]])
    return torch.sin(x @ mixing.to(x)) + x.square() * x.roll(1, 1)


def trace_at(row):
    jacobian = torch.autograd.functional.jacobian(lambda x: field(x[None])[0], row)
    return jacobian.trace()


def test_divergence_is_the_trace_of_the_jacobian():
    x = normal(5, 3)
    v, found = divergence(field, x)
    torch.testing.assert_close(found, torch.stack([trace_at(row) for row in x]))
    torch.testing.assert_close(v, field(x))
    assert not found.requires_grad
    assert not v.requires_grad


def test_divergence_of_a_linear_field_is_its_trace(device):
    matrix = normal(4, 4).to(device)
    _, found = divergence(lambda x: x @ matrix, normal(6, 4, seed=1).to(device))
    torch.testing.assert_close(found, matrix.trace().expand(6))


def test_estimate_of_the_divergence_is_right_on_average(device):
    x = normal(5, 3).to(device)
    signs = itertools.product([-1.0, 1.0], repeat=3)
    estimates = []
    for probes in signs:
        v, estimate = estimated_divergence(field, x, torch.tensor(probes).to(x))
        torch.testing.assert_close(v, field(x))
        estimates.append(estimate)
    spread = torch.stack(estimates)
    torch.testing.assert_close(spread.mean(0), divergence(field, x)[1])
    assert spread.std(0).min() > 0.01


def test_probes_may_differ_between_rows():
    x, probes = normal(5, 3), normal(5, 3, seed=1).sign()
    _, together = estimated_divergence(field, x, probes)
    alone = [estimated_divergence(field, x[i : i + 1], probes[i])[1] for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))
