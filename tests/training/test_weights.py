import math

import pytest
import torch
from torch import Generator

from skdeep.nn import MLP, initialized
from skdeep.training import Adam, AveragedWeights, BestWeights, applied
from skdeep.training.optimizer import views_of


@pytest.fixture(params=["float32", "bfloat16"])
def optimizer(request):
    network = initialized(MLP, Generator().manual_seed(0), sizes=(3, 4, 2))
    return Adam([network], learning_rate=1e-2, precision=request.param)


def move(optimizer, seed):
    x = torch.randn(5, 3, generator=Generator().manual_seed(seed))
    with optimizer.training():
        optimizer.step(optimizer.networks[0](x).square().sum())
    return optimizer.weights.clone()


def network_weights(optimizer):
    weights = [*optimizer.networks[0].parameters()]
    vector = torch.zeros_like(optimizer.weights)
    for view, weight in zip(views_of(vector, weights), weights, strict=True):
        view.copy_(weight.detach())
    return vector


def test_best_weights_are_those_of_the_smallest_loss(optimizer):
    best = BestWeights(optimizer)
    seen = []
    for seed, loss in enumerate([3.0, 1.0, 2.0, math.inf]):
        seen.append(move(optimizer, seed))
        best.offer(loss)
    assert best.n_since == 2
    best.restore()
    assert torch.equal(network_weights(optimizer), seen[1])


def test_best_weights_of_nothing_are_the_last(optimizer):
    last = move(optimizer, 0)
    best = BestWeights(optimizer)
    best.offer(math.nan)
    best.restore()
    assert torch.equal(network_weights(optimizer), last)


def test_average_is_that_of_the_formula(optimizer):
    average = AveragedWeights(optimizer, decay=0.15)
    expected = optimizer.weights.clone()
    for t in range(5):
        w = move(optimizer, t)
        average.update()
        decay = min(0.15, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * w
    average.restore()
    torch.testing.assert_close(network_weights(optimizer), expected)


def test_averages_are_taken_back_after_the_context(optimizer):
    average = AveragedWeights(optimizer, decay=0.9)
    first = optimizer.weights.clone()
    last = move(optimizer, 0)
    with applied(average):
        assert torch.equal(network_weights(optimizer), first)
    assert torch.equal(network_weights(optimizer), last)


def test_products_follow_weights_that_are_set(optimizer):
    network, x = optimizer.networks[0], torch.ones(2, 3)
    with optimizer.training():
        optimizer.set_weights(torch.zeros_like(optimizer.weights))
        assert torch.equal(network(x), torch.zeros(2, 2))
