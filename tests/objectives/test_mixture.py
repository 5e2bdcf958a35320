import math

import pytest
import torch
from torch import Generator
from torch.autograd import gradcheck
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from skdeep.objectives.mixture import kl_to_mixture, log_joint, log_responsibilities


def normal(*shape, seed=0):
    rng = Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def a_mixture(n_clusters=4, d=3):
    log_weights = normal(n_clusters, seed=1).log_softmax(0)
    return log_weights, normal(n_clusters, d, seed=2), normal(n_clusters, d, seed=3)


def naive_joint(z, log_weights, means, log_vars):
    joint = torch.zeros(len(z), len(means), dtype=z.dtype)
    for i in range(len(z)):
        for c in range(len(means)):
            joint[i, c] = log_weights[c]
            for j in range(z.shape[1]):
                variance = math.exp(log_vars[c, j])
                square = (z[i, j] - means[c, j]) ** 2 / variance
                joint[i, c] -= (math.log(2 * math.pi * variance) + square) / 2
    return joint


def test_worked_example_of_the_joint():
    z = torch.tensor([[1.0]], dtype=torch.float64)
    log_weights = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    means = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    log_vars = torch.tensor([[0.0], [4.0]], dtype=torch.float64).exp().log()
    expected = [
        math.log(0.25 / math.sqrt(2 * math.pi)),
        math.log(0.75 / math.sqrt(2 * math.pi)) - 2 - 2 * math.exp(-4),
    ]
    found = log_joint(z, log_weights, means, log_vars)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


def test_joint_is_the_naive_loop_and_torchs_mixture():
    z, mixture = normal(5, 3), a_mixture()
    found = log_joint(z, *mixture)
    torch.testing.assert_close(found, naive_joint(z, *mixture))
    log_weights, means, log_vars = mixture
    theirs = MixtureSameFamily(
        Categorical(logits=log_weights),
        Independent(Normal(means, (log_vars / 2).exp()), 1),
    )
    torch.testing.assert_close(found.logsumexp(1), theirs.log_prob(z))


def test_joint_of_codes_far_off_does_not_cancel():
    z, (log_weights, means, log_vars) = normal(5, 3), a_mixture()
    far = [(value + 1000).float() for value in (z, means)]
    found = log_joint(far[0], log_weights.float(), far[1], log_vars.float())
    expected = log_joint(z, log_weights, means, log_vars)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-2)


def test_responsibilities_sum_to_one_far_out_too():
    z = torch.cat([normal(5, 3), 1e4 * normal(5, 3)])
    gamma = log_responsibilities(z, *a_mixture()).exp()
    torch.testing.assert_close(gamma.sum(1), torch.ones(10, dtype=torch.float64))


def test_divergence_is_the_formula_of_the_paper():
    mean, log_var, mixture = normal(5, 3), normal(5, 3, seed=4), a_mixture()
    log_weights, means, log_vars = mixture
    log_gamma = log_responsibilities(normal(5, 3, seed=5), *mixture)
    expected = torch.zeros(5, dtype=torch.float64)
    for i in range(5):
        for c in range(4):
            gamma = math.exp(log_gamma[i, c])
            expected[i] += gamma * (log_gamma[i, c] - log_weights[c])
            for j in range(3):
                distance = math.exp(log_var[i, j]) + (mean[i, j] - means[c, j]) ** 2
                term = log_vars[c, j] + distance / math.exp(log_vars[c, j])
                expected[i] += gamma * term / 2
        expected[i] -= sum(1 + log_var[i, j] for j in range(3)) / 2
    found = kl_to_mixture(mean, log_var, log_gamma, *mixture)
    torch.testing.assert_close(found, expected)


def test_divergence_is_the_mean_over_drawn_codes():
    mean, log_var, mixture = normal(1, 3), normal(1, 3, seed=4) - 1, a_mixture()
    log_gamma = log_responsibilities(mean, *mixture)
    z = mean + (log_var / 2).exp() * normal(400_000, 3, seed=5)
    log_q = Normal(mean, (log_var / 2).exp()).log_prob(z).sum(1, keepdim=True)
    drawn = log_gamma.exp() * (log_gamma + log_q - log_joint(z, *mixture))
    found = kl_to_mixture(mean, log_var, log_gamma, *mixture)
    assert found.item() == pytest.approx(drawn.sum(1).mean().item(), rel=0.01)


def test_divergence_from_what_is_in_the_mixture_is_that_of_the_choice():
    # The code of one component, and all of its responsibility: -log pi is left.
    log_weights, means, log_vars = a_mixture()
    log_gamma = torch.full((1, 4), -60.0, dtype=torch.float64)
    log_gamma[0, 2] = 0
    found = kl_to_mixture(
        means[2:3], log_vars[2:3], log_gamma, log_weights, means, log_vars
    )
    torch.testing.assert_close(found, -log_weights[2:3])


def test_divergence_is_never_negative():
    for seed in range(20):
        mean, log_var = normal(10, 3, seed=seed), 3 * normal(10, 3, seed=seed + 50)
        log_gamma = log_responsibilities(mean, *a_mixture())
        assert (kl_to_mixture(mean, log_var, log_gamma, *a_mixture()) >= 0).all()


def test_gradients():
    values = [normal(3, 2), normal(3, 2, seed=1), normal(3, 2, seed=2)]
    mixture = [value[:, :2] if value.ndim == 2 else value for value in a_mixture()]

    def bound(z, mean, log_var, weights, means, log_vars):
        prior = weights.log_softmax(0), means, log_vars
        log_gamma = log_responsibilities(z, *prior)
        return kl_to_mixture(mean, log_var, log_gamma, *prior)

    inputs = [value.clone().requires_grad_() for value in (*values, *mixture)]
    assert gradcheck(bound, inputs)
