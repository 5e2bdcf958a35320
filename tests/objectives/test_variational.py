import itertools
import math

import pytest
import torch
from torch import Generator
from torch.autograd import gradcheck
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from skdeep.objectives.variational import (
    LOG_VAR_LIMIT,
    annealed_importance,
    bernoulli_log_likelihood,
    bernoulli_loss,
    code_distribution,
    drawn_codes,
    elbo_per_sample,
    gaussian_log_likelihood,
    gaussian_loss,
    gaussian_loss_of_best_variance,
    gaussian_loss_of_squares,
    importance_weighted_bound,
    kl_to_standard_normal,
    log_importance_weight,
    mean_squares,
    reparametrised,
    sigmoid_schedule,
    standard_normal_log_density,
)


def generator(device="cpu", seed=0):
    return Generator(device).manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed=seed), dtype=dtype)


def uniform(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=generator(seed=seed), dtype=dtype)


# codes


def test_worked_example_of_the_divergence():
    mean = torch.tensor([0.0, 1.0, 0.0])
    log_var = torch.tensor([0.0, 0.0, math.log(4)])
    expected = torch.tensor([0.0, 1 / 2, (4 - math.log(4) - 1) / 2])
    torch.testing.assert_close(kl_to_standard_normal(mean, log_var), expected)


def test_divergence_is_that_of_torchs_distributions(device):
    mean, log_var = normal(5, 3).to(device), normal(5, 3, seed=1).to(device)
    standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), standard)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_var), expected)


def test_divergence_is_never_negative():
    found = kl_to_standard_normal(normal(1000), 3 * normal(1000, seed=1))
    assert (found >= 0).all()


def test_reparametrised_codes_have_the_mean_and_the_variance_given():
    mean, log_var = torch.tensor([2.0, -1.0]), torch.tensor([0.0, math.log(9)])
    z = reparametrised(mean, log_var, normal(100_000, 2, dtype=torch.float32))
    torch.testing.assert_close(z.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(z.std(0), torch.tensor([1.0, 3.0]), atol=0.05, rtol=0)


def test_drawn_codes_are_their_parts_in_one(device):
    parameters, noise = normal(5, 6).to(device), normal(5, 3, seed=1).to(device)
    mean, log_var = code_distribution(parameters)
    z, kl = drawn_codes(parameters, noise)
    torch.testing.assert_close(z, reparametrised(mean, log_var, noise))
    expected = kl_to_standard_normal(mean, log_var).sum(1).mean()
    torch.testing.assert_close(kl, expected)


def test_drawn_codes_equal_the_naive_loop():
    parameters, noise = normal(4, 4), normal(4, 2, seed=1)
    z, kl = drawn_codes(parameters, noise)
    total = 0.0
    for i in range(4):
        for j in range(2):
            mean, log_var = float(parameters[i, j]), float(parameters[i, j + 2])
            deviation = math.exp(log_var / 2)
            assert float(z[i, j]) == pytest.approx(mean + deviation * noise[i, j])
            total += (mean**2 + deviation**2 - 2 * math.log(deviation) - 1) / 2
    assert float(kl) == pytest.approx(total / 4)


def test_gradients_of_codes_are_those_of_finite_differences():
    parameters, noise = normal(4, 6).requires_grad_(), normal(4, 3, seed=1)
    assert gradcheck(lambda p: drawn_codes(p, noise), parameters)
    mean, log_var = (part.requires_grad_() for part in normal(2, 4, 3).unbind())
    assert gradcheck(kl_to_standard_normal, (mean, log_var))
    assert gradcheck(reparametrised, (mean, log_var, noise))


def test_log_variances_beyond_all_reason_are_cut_and_come_back(device):
    parameters = torch.tensor([[0.0, 1e4], [0.0, -1e4]], device=device)
    parameters.requires_grad_()
    _, log_var = code_distribution(parameters)
    assert log_var.abs().flatten().tolist() == [LOG_VAR_LIMIT] * 2
    z, kl = drawn_codes(parameters, torch.ones(2, 1, device=device))
    kl.backward()
    assert torch.isfinite(z).all()
    assert torch.isfinite(kl)
    down, up = parameters.grad[:, 1]  # a step against the gradient leads back
    assert down > 0 > up


# likelihoods


def test_worked_examples_of_the_likelihoods():
    x, mean = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    found = gaussian_log_likelihood(x, mean, torch.tensor(0.0))
    assert found.shape == (1,)
    assert float(found) == pytest.approx(-1 / 2 - math.log(2 * math.pi))
    logits = torch.tensor([[math.log(3), 0.0]])  # probabilities 3/4 and 1/2
    found = bernoulli_log_likelihood(x, logits)
    assert found.shape == (1,)
    assert float(found) == pytest.approx(math.log(3 / 4 * 1 / 2))


@pytest.mark.parametrize("shape", [(), (3,), (5, 3), (2, 5, 3)])
def test_gaussian_likelihood_is_that_of_torchs_distributions(shape, device):
    x, mean = normal(5, 3).to(device), normal(2, 5, 3, seed=1).to(device)
    log_var = normal(*shape, seed=2).to(device)
    expected = Normal(mean, (log_var / 2).exp()).log_prob(x).sum(-1)
    found = gaussian_log_likelihood(x, mean, log_var)
    torch.testing.assert_close(found, expected)


def test_rows_beyond_zero_and_one_are_impossible():
    logits = torch.tensor([0.5, -3.0])
    x = torch.tensor([[0.0, 1.0], [1 + 1e-7, -1e-7], [0.5, 1.1], [-0.1, 0], [5, 5]])
    found = bernoulli_log_likelihood(x, logits)
    assert found.isneginf().tolist() == [False, False, True, True, True]


def test_bernoulli_likelihood_is_that_of_torchs_distributions(device):
    x, logits = uniform(5, 3).round().to(device), normal(2, 5, 3, seed=1).to(device)
    expected = Bernoulli(logits=logits).log_prob(x.expand(2, 5, 3)).sum(-1)
    torch.testing.assert_close(bernoulli_log_likelihood(x, logits), expected)


def test_likelihoods_equal_the_naive_loops():
    x, mean, log_var = normal(3, 4, 2).unbind(2)[0], normal(3, 4, seed=1), normal(4)
    found = gaussian_log_likelihood(x, mean, log_var)
    for i in range(3):
        total = 0.0
        for j in range(4):
            variance = math.exp(log_var[j])
            total -= float(x[i, j] - mean[i, j]) ** 2 / variance / 2
            total -= math.log(2 * math.pi * variance) / 2
        assert float(found[i]) == pytest.approx(total)
    x, logits = uniform(3, 4), normal(3, 4, seed=1)
    found = bernoulli_log_likelihood(x, logits)
    for i in range(3):
        total = 0.0
        for j in range(4):
            p = 1 / (1 + math.exp(-logits[i, j]))
            total += float(x[i, j]) * math.log(p)
            total += (1 - float(x[i, j])) * math.log(1 - p)
        assert float(found[i]) == pytest.approx(total)


def test_likelihood_of_grey_values_is_the_mean_over_binary_rows_like_them():
    grey, logits = uniform(1, 4), normal(1, 4, seed=1)
    draws = (uniform(100_000, 4, seed=2) < grey).double()
    expected = bernoulli_log_likelihood(draws, logits).mean()
    found = float(bernoulli_log_likelihood(grey, logits))
    assert found == pytest.approx(float(expected), abs=0.02)


def test_losses_are_minus_the_means_of_the_likelihoods(device):
    x, mean, log_var = (normal(6, 4, seed=s).to(device) for s in range(3))
    expected = -gaussian_log_likelihood(x, mean, log_var).mean()
    torch.testing.assert_close(gaussian_loss(x, mean, log_var), expected)
    shared = log_var[0]
    expected = -gaussian_log_likelihood(x, mean, shared).mean()
    found = gaussian_loss_of_squares(mean_squares(x, mean), shared)
    torch.testing.assert_close(found, expected)
    x = x.sigmoid()
    expected = -bernoulli_log_likelihood(x, mean).mean()
    torch.testing.assert_close(bernoulli_loss(x, mean), expected)


def test_mean_squares_equal_the_naive_loop():
    x, mean = normal(5, 3), normal(5, 3, seed=1)
    for j, found in enumerate(mean_squares(x, mean)):
        expected = sum(float(x[i, j] - mean[i, j]) ** 2 for i in range(5)) / 5
        assert float(found) == pytest.approx(expected)


def test_mean_squares_are_the_variances_of_largest_likelihood():
    x, mean = normal(50, 3), normal(50, 3, seed=1)
    squares = mean_squares(x, mean)
    best = float(gaussian_loss_of_squares(squares, squares.log()))
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert float(gaussian_loss_of_squares(squares, (factor * squares).log())) > best


def test_loss_of_the_best_variance_is_that_of_the_mean_square(device):
    x, mean = normal(6, 4).to(device), normal(6, 4, seed=1).to(device)
    squares = (x - mean).square().mean()
    expected = -gaussian_log_likelihood(x, mean, squares.log()).mean()
    found = gaussian_loss_of_best_variance(squares, 4)
    torch.testing.assert_close(found, expected)
    one = gaussian_loss_of_best_variance(torch.tensor(1.0), 2)
    assert float(one) == pytest.approx(1 + math.log(2 * math.pi))


def test_gradients_of_losses_are_those_of_finite_differences():
    x = uniform(4, 3)
    mean, log_var = (part.requires_grad_() for part in normal(2, 4, 3).unbind())
    assert gradcheck(lambda m, v: gaussian_loss(x, m, v), (mean, log_var))
    assert gradcheck(lambda m: mean_squares(x, m), mean)
    assert gradcheck(lambda m: bernoulli_loss(x, m), mean)
    squares, shared = uniform(3, seed=3).requires_grad_(), normal(3).requires_grad_()
    assert gradcheck(gaussian_loss_of_squares, (squares, shared))
    assert gradcheck(lambda s: gaussian_loss_of_best_variance(s, 3), squares)
    assert gradcheck(lambda m, v: gaussian_log_likelihood(x, m, v), (mean, log_var))
    assert gradcheck(lambda m: bernoulli_log_likelihood(x, m), mean)


@pytest.mark.parametrize("far", [30.0, 1e4, -1e4])
def test_extreme_outputs_stay_finite(far, device):
    x = torch.tensor([[0.0, 1.0, 0.3]], device=device)
    output = torch.full_like(x, far).requires_grad_()
    for loss in (bernoulli_loss, lambda x, m: gaussian_loss(x, m, torch.zeros_like(m))):
        output.grad = None
        found = loss(x, output)
        found.backward()
        assert torch.isfinite(found)
        assert torch.isfinite(output.grad).all()
    assert torch.isfinite(bernoulli_log_likelihood(x, output)).all()


def test_certain_and_right_logits_cost_nothing_and_wrong_ones_their_size():
    x, logits = torch.tensor([[0.0, 1.0]]), torch.tensor([[-1e4, 1e4]])
    assert float(bernoulli_log_likelihood(x, logits)) == 0
    assert float(bernoulli_log_likelihood(x, -logits)) == pytest.approx(-2e4)
    assert float(bernoulli_loss(x, -logits)) == pytest.approx(2e4)


# bounds


def test_worked_example_of_the_bounds():
    log_likelihood = torch.tensor([[-1.0], [-3.0]])
    mean, log_var = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    assert elbo_per_sample(log_likelihood, mean, log_var).tolist() == [-2.5]
    assert elbo_per_sample(log_likelihood, mean, log_var, beta=4).tolist() == [-4.0]
    # Weights 1/2 and 1/4.
    log_weight = torch.tensor([[1 / 2], [1 / 4]]).log()
    found = importance_weighted_bound(log_weight)
    assert found.tolist() == pytest.approx([math.log(3 / 8)])


def test_importance_weights_are_those_of_torchs_distributions():
    log_likelihood, mean, log_var = normal(7, 5), normal(5, 3), normal(5, 3, seed=1)
    noise = normal(7, 5, 3, seed=2)
    z = reparametrised(mean, log_var, noise)
    prior = Normal(torch.zeros_like(z), torch.ones_like(z)).log_prob(z).sum(-1)
    q = Normal(mean, (log_var / 2).exp()).log_prob(z).sum(-1)
    found = log_importance_weight(log_likelihood, z, noise, log_var)
    torch.testing.assert_close(found, log_likelihood + prior - q)


def test_importance_weighted_bound_equals_the_naive_loop():
    log_weight = normal(9, 4)
    for i, found in enumerate(importance_weighted_bound(log_weight)):
        mean = sum(math.exp(log_weight[k, i]) for k in range(9)) / 9
        assert float(found) == pytest.approx(math.log(mean))


def test_bounds_have_the_gradients_of_finite_differences():
    log_weight = normal(5, 3).requires_grad_()
    assert gradcheck(importance_weighted_bound, log_weight)
    mean, log_var = (part.requires_grad_() for part in normal(2, 3, 2).unbind())
    assert gradcheck(elbo_per_sample, (log_weight, mean, log_var))


def test_weights_beyond_all_reason_keep_the_bound_finite():
    for far in (1e4, -1e4):
        found = importance_weighted_bound(far * torch.tensor([[1.0], [1.1]]))
        assert torch.isfinite(found).all()


# a linear model, whose likelihood is known


class LinearModel:
    """x = W z + b + s noise, whose posterior is Gaussian with a diagonal covariance."""

    def __init__(self, n=6, dtype=torch.float64):
        columns = torch.linalg.qr(normal(5, 2))[0]
        self.W = (columns * torch.tensor([2.0, 0.7])).to(dtype)
        self.b, self.s = normal(5, seed=1).to(dtype), 0.5
        covariance = self.W @ self.W.T + self.s**2 * torch.eye(5, dtype=dtype)
        marginal = MultivariateNormal(self.b, covariance)
        self.x = marginal.mean + normal(n, 5, seed=2).to(dtype) @ marginal.scale_tril.T
        self.log_p = marginal.log_prob(self.x)
        precision = 1 + self.W.square().sum(0) / self.s**2
        self.mean = (self.x - self.b) @ self.W / self.s**2 / precision
        self.log_var = -precision.log().expand(n, 2)

    def log_likelihood(self, z):
        log_var = torch.tensor(2 * math.log(self.s), dtype=z.dtype)
        return gaussian_log_likelihood(self.x, z @ self.W.T + self.b, log_var)

    def log_joint(self, z):
        return self.log_likelihood(z) + standard_normal_log_density(z)

    def bounds(self, mean, log_var, n_codes, seed=0):
        noise = normal(n_codes, *mean.shape, seed=seed).to(mean.dtype)
        z = reparametrised(mean, log_var, noise)
        found = self.log_likelihood(z)
        weights = log_importance_weight(found, z, noise, log_var)
        return elbo_per_sample(found, mean, log_var), importance_weighted_bound(weights)


def test_bounds_at_the_true_posterior_are_the_log_likelihood():
    model = LinearModel()
    # Its weights are all the same: one code is enough.
    _, weighted = model.bounds(model.mean, model.log_var, 1)
    torch.testing.assert_close(weighted, model.log_p)
    # Of noise with the moments of a normal, the mean of a square is exact.
    noise = math.sqrt(2) * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    z = reparametrised(model.mean, model.log_var, noise.double().unsqueeze(1))
    elbo = elbo_per_sample(model.log_likelihood(z), model.mean, model.log_var)
    torch.testing.assert_close(elbo, model.log_p)


def test_bounds_are_ordered_and_grow_to_the_log_likelihood():
    model = LinearModel(200)
    q = model.mean + 0.3, model.log_var + 1
    elbo, few = (bound.mean() for bound in model.bounds(*q, 10))
    _, many = (bound.mean() for bound in model.bounds(*q, 2000))
    truth = float(model.log_p.mean())
    assert elbo < few - 0.1
    assert few < many - 0.02
    assert float(many) == pytest.approx(truth, abs=0.01)


def test_gap_of_the_bound_is_the_divergence_from_the_true_posterior():
    model = LinearModel()
    q = model.mean + 0.3, model.log_var + 1
    elbo, _ = model.bounds(*q, 40_000)
    posterior = Normal(model.mean, (model.log_var / 2).exp())
    gap = kl_divergence(Normal(q[0], (q[1] / 2).exp()), posterior).sum(1)
    torch.testing.assert_close(model.log_p - elbo, gap, atol=0.1, rtol=0)


# annealed importance sampling


def test_standard_density_is_that_of_torchs_distributions(device):
    u = normal(4, 5, 3).to(device)
    expected = Normal(torch.zeros_like(u), torch.ones_like(u)).log_prob(u).sum(-1)
    torch.testing.assert_close(standard_normal_log_density(u), expected)


def test_annealed_estimate_at_the_true_posterior_is_exact():
    model = LinearModel()
    found, error = annealed_importance(
        model.log_joint, model.mean, model.log_var, generator(), n_temperatures=3
    )
    torch.testing.assert_close(found, model.log_p)
    torch.testing.assert_close(error, torch.zeros_like(error), atol=1e-6, rtol=0)


def naive_annealed_importance(model, row, mean, log_var, starts, moves, step):
    """Estimate of one row, by the numbers drawn: starts, momenta and chances."""
    x, b, W, s = model.x[row], model.b, model.W, model.s
    deviation = (log_var / 2).exp()

    def log_ratio_and_slope(u):
        """Logarithm of p(x, z) / N(u; 0, I), in units of q, and the slope of p."""
        z = mean + deviation * u
        residual = x - b - W @ z
        log_p = -5 / 2 * math.log(2 * math.pi * s**2) - residual @ residual / s**2 / 2
        log_p += -math.log(2 * math.pi) - z @ z / 2 + log_var.sum() / 2
        log_q = -math.log(2 * math.pi) - u @ u / 2
        return float(log_p - log_q), deviation * (W.T @ residual / s**2 - z)

    def energy(u, momentum, b):
        return -b * log_ratio_and_slope(u)[0] + u @ u / 2 + momentum @ momentum / 2

    def force(u, b):
        return b * log_ratio_and_slope(u)[1] - (1 - b) * u

    codes, log_weights = list(starts), [0.0] * len(starts)
    for t, (before, b_t) in enumerate(itertools.pairwise(sigmoid_schedule(3))):
        chances = []
        for k, u in enumerate(codes):
            log_weights[k] += (b_t - before) * log_ratio_and_slope(u)[0]
            if b_t == 1:
                continue
            momentum, drawn = moves[t][0][k], float(moves[t][1][k])
            moved, v = u, momentum
            for _ in range(2):
                v = v + step / 2 * force(moved, b_t)
                moved = moved + step * v
                v = v + step / 2 * force(moved, b_t)
            lost = float(energy(moved, v, b_t) - energy(u, momentum, b_t))
            chances.append(min(1.0, math.exp(-lost)))
            if drawn < chances[-1]:
                codes[k] = moved
        if chances:
            step *= math.exp(0.1 * (sum(chances) / len(chances) - 0.65))
    weights = [math.exp(w) for w in log_weights]
    estimate = sum(weights) / len(weights)
    squares = sum((w / estimate - 1) ** 2 for w in weights) / (len(weights) - 1)
    return math.log(estimate), math.sqrt(squares / len(weights))


def test_annealed_estimate_equals_the_naive_loop():
    model = LinearModel(3)
    mean, log_var = model.mean + 0.3, model.log_var + 1
    found, error = annealed_importance(
        model.log_joint,
        mean,
        log_var,
        generator(),
        n_chains=6,
        n_temperatures=3,
        n_leapfrog=2,
        step_size=0.9,
    )
    rng = generator()
    starts = torch.randn(6, 3, 2, generator=rng, dtype=torch.float64)
    moves = [
        (
            torch.randn(6, 3, 2, generator=rng, dtype=torch.float64),
            torch.rand(6, 3, generator=rng, dtype=torch.float64),
        )
        for _ in range(2)
    ]
    for i in range(3):
        own = [(momenta[:, i], chances[:, i]) for momenta, chances in moves]
        estimate, spread = naive_annealed_importance(
            model, i, mean[i], log_var[i], starts[:, i], own, 0.9
        )
        assert float(found[i]) == pytest.approx(estimate)
        assert float(error[i]) == pytest.approx(spread)


@pytest.mark.parametrize("start", ["prior", "a wrong posterior"])
def test_annealed_estimate_agrees_with_the_truth_within_its_error(start):
    model = LinearModel(40)
    if start == "prior":
        q = torch.zeros_like(model.mean), torch.zeros_like(model.mean)
    else:
        q = model.mean + 0.3, model.log_var + 1
    found, error = annealed_importance(
        model.log_joint, *q, generator(), n_chains=32, n_temperatures=60
    )
    assert found.shape == error.shape == (40,)
    off = (found - model.log_p) / error
    assert off.abs().max() < 5
    assert off.square().mean() < 2
    assert abs(float((found - model.log_p).mean())) < 0.1


def test_error_of_the_annealed_estimate_is_its_spread():
    model = LinearModel(5)
    q = torch.zeros_like(model.mean), torch.zeros_like(model.mean)
    runs = [
        annealed_importance(
            model.log_joint, *q, generator(seed=s), n_chains=16, n_temperatures=20
        )
        for s in range(25)
    ]
    spread = torch.stack([found for found, _ in runs]).std(0)
    stated = torch.stack([error for _, error in runs]).mean(0)
    ratio = stated / spread
    assert 0.6 < ratio.min()
    assert ratio.max() < 1.7


def test_more_temperatures_bring_the_estimate_nearer():
    model = LinearModel(20)
    q = torch.zeros_like(model.mean), torch.zeros_like(model.mean)
    gaps = []
    for n_temperatures in (1, 10, 100):
        found, _ = annealed_importance(
            model.log_joint, *q, generator(), n_temperatures=n_temperatures
        )
        gaps.append(float((found - model.log_p).abs().mean()))
    assert gaps[0] > 2 * gaps[1]
    assert gaps[1] > 1.5 * gaps[2]


def test_one_temperature_is_importance_sampling():
    model = LinearModel()
    q = model.mean + 0.3, model.log_var + 1
    found, _ = annealed_importance(
        model.log_joint, *q, generator(), n_chains=9, n_temperatures=1
    )
    noise = torch.randn(9, 6, 2, generator=generator(), dtype=torch.float64)
    z = reparametrised(*q, noise)
    weights = log_importance_weight(model.log_likelihood(z), z, noise, q[1])
    torch.testing.assert_close(found, importance_weighted_bound(weights))


def test_chains_of_a_row_do_not_depend_on_other_rows():
    model, other = LinearModel(), LinearModel()
    other.x[0] += 100
    q = model.mean + 0.3, model.log_var + 1
    found, changed = (
        annealed_importance(m.log_joint, *q, generator(), n_temperatures=9)[0]
        for m in (model, other)
    )
    assert found[0] > changed[0] + 100
    torch.testing.assert_close(found[1:], changed[1:])


def test_annealing_draws_from_its_generator_alone():
    model, before = LinearModel(), torch.get_rng_state()
    q = model.mean, model.log_var + 1
    first, same, other = (
        annealed_importance(model.log_joint, *q, generator(seed=s), n_temperatures=5)[0]
        for s in (3, 3, 4)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("step_size", [1e-8, 1e6, 1e30])
def test_absurd_step_sizes_keep_the_estimate_finite(step_size):
    model = LinearModel(dtype=torch.float32)
    q = model.mean, model.log_var + 1
    found, error = annealed_importance(
        model.log_joint, *q, generator(), n_temperatures=20, step_size=step_size
    )
    assert torch.isfinite(found).all()
    assert torch.isfinite(error).all()


def test_step_size_adapts():
    model = LinearModel(20)
    q = torch.zeros_like(model.mean), torch.zeros_like(model.mean)
    found, _ = annealed_importance(
        model.log_joint, *q, generator(), n_temperatures=200, step_size=3.0
    )
    assert float((found - model.log_p).abs().mean()) < 0.3


def test_temperatures_rise_from_zero_to_one_and_are_dense_at_both_ends():
    places = sigmoid_schedule(10)
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert (places[0], places[-1], len(places)) == (0, 1, 11)
    assert min(steps) > 0
    assert max(steps) == pytest.approx(steps[5], rel=0.1)
    assert steps[0] == pytest.approx(steps[-1])
    assert steps[0] < steps[5] / 5
