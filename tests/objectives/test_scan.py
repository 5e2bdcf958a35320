import math

import pytest
import torch

from skdeep.objectives.scan import (
    consistency_loss,
    consistency_loss_per_sample,
    mean_entropy,
    self_labelling_loss,
)
from tests.objectives.draws import normal


def log_probabilities(n=7, n_clusters=4, seed=0):
    return (2 * normal(n, n_clusters, seed=seed)).log_softmax(1)


def naive_consistency(p, q):
    total = 0.0
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        total -= math.log(sum(x * y for x, y in zip(a, b, strict=True)))
    return total / len(p)


def naive_mean_entropy(p):
    entropy = 0.0
    for j in range(p.shape[1]):
        mean = sum(p[i, j].item() for i in range(len(p))) / len(p)
        entropy -= mean * math.log(mean)
    return entropy


def naive_self_labelling(logits, p, threshold):
    of_clusters = {}
    for row, probabilities in zip(logits.tolist(), p.tolist(), strict=True):
        label = max(range(len(row)), key=lambda j: probabilities[j])
        if probabilities[label] > threshold:
            log_sum = math.log(sum(math.exp(value) for value in row))
            of_clusters.setdefault(label, []).append(log_sum - row[label])
    means = [sum(losses) / len(losses) for losses in of_clusters.values()]
    return sum(means) / len(means) if means else 0.0


# consistency of neighbours


def test_consistency_of_two_rows_by_hand():
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).double()
    q = torch.tensor([[0.8, 0.2], [0.0, 1.0]]).double()
    # <p, q> is 0.5 and 0.1.
    expected = (math.log(2) + math.log(10)) / 2
    assert float(consistency_loss(p.log(), q.log())) == pytest.approx(expected)


def test_consistency_equals_the_naive_loop(device):
    log_p, log_q = log_probabilities(seed=1), log_probabilities(seed=2)
    found = consistency_loss(log_p.to(device), log_q.to(device))
    expected = naive_consistency(log_p.exp(), log_q.exp())
    assert float(found) == pytest.approx(expected)


def test_consistency_is_the_mean_of_its_rows_and_symmetric():
    log_p, log_q = log_probabilities(seed=1), log_probabilities(seed=2)
    rows = consistency_loss_per_sample(log_p, log_q)
    assert rows.shape == (7,)
    torch.testing.assert_close(rows.mean(), consistency_loss(log_p, log_q))
    torch.testing.assert_close(
        consistency_loss(log_p, log_q), consistency_loss(log_q, log_p)
    )


def test_consistency_is_zero_only_for_sure_neighbours_of_one_cluster():
    sure = torch.eye(3).double().log()
    assert float(consistency_loss(sure, sure)) == 0
    assert float(consistency_loss(sure, sure.roll(1, 1))) == math.inf
    assert (consistency_loss_per_sample(*[log_probabilities()] * 2) > 0).all()


def test_gradient_of_the_consistency_is_that_of_finite_differences():
    logits = (normal(3, 4, seed=1), normal(3, 4, seed=2))
    assert torch.autograd.gradcheck(
        lambda a, b: consistency_loss(a.log_softmax(1), b.log_softmax(1)),
        [x.requires_grad_() for x in logits],
    )


@pytest.mark.parametrize("far", [1e2, 1e6, 1e30])
def test_neighbours_sure_of_other_clusters_have_finite_gradients(far, device):
    logits = (far * torch.eye(3)).to(device).requires_grad_()
    log_p = logits.log_softmax(1)
    loss = consistency_loss(log_p, log_p.roll(1, 0)) - mean_entropy(log_p)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    "loss", [consistency_loss, lambda a, b: self_labelling_loss(a, b, 0.5)]
)
def test_probabilities_of_other_rows_are_refused(loss):
    with pytest.raises(
        ValueError, match=r"must have the same shape. Got \(4, 3\) and \(1"
    ):
        loss(torch.zeros(4, 3), torch.zeros(1, 3))


# entropy of the mean


def test_entropy_of_the_mean_by_hand():
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double()
    expected = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert float(mean_entropy(p.log())) == pytest.approx(expected)


def test_entropy_of_the_mean_equals_the_naive_loop(device):
    log_p = log_probabilities()
    found = float(mean_entropy(log_p.to(device)))
    assert found == pytest.approx(naive_mean_entropy(log_p.exp()))


def test_entropy_of_the_mean_is_largest_for_even_clusters():
    even = torch.eye(4).double().log()
    assert float(mean_entropy(even)) == pytest.approx(math.log(4))
    assert 0 < float(mean_entropy(log_probabilities())) < math.log(4)


def test_one_cluster_that_takes_all_has_no_entropy_and_a_finite_gradient(device):
    logits = torch.tensor([[200.0, 0.0, -200.0]], device=device).repeat(5, 1)
    logits.requires_grad_()
    entropy = mean_entropy(logits.log_softmax(1))
    entropy.backward()
    assert float(entropy.detach()) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(logits.grad).all()


def test_entropy_of_sure_rows_is_that_of_their_clusters():
    log_p = torch.eye(3).log()[[0, 0, 1, 1]].requires_grad_()  # one cluster is empty
    entropy = mean_entropy(log_p)
    entropy.backward()
    assert entropy.item() == pytest.approx(math.log(2))
    assert torch.isfinite(log_p.grad).all()


def test_gradient_of_the_entropy_is_that_of_finite_differences():
    logits = normal(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mean_entropy(x.log_softmax(1)), logits)


# self-labelling


def test_self_labelling_by_hand():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)], [5.0, 5.0], [9.0, 1.0]])
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    # Two rows of cluster 0 and one of cluster 1 are sure; the last row is not.
    expected = ((math.log(2) + math.log(4)) / 2 + math.log(2)) / 2
    found = self_labelling_loss(logits, p, threshold=0.7)
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_self_labelling_equals_the_naive_loop(threshold, device):
    logits, p = normal(20, 4, seed=1), log_probabilities(20, seed=2).exp()
    found = self_labelling_loss(logits.to(device), p.to(device), threshold)
    expected = naive_self_labelling(logits, p, threshold)
    assert 0 < expected == pytest.approx(float(found))


def test_unsure_rows_do_not_matter_and_clusters_weigh_the_same():
    logits, p = normal(4, 2), torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]] * 2)
    p = p[:4].double()
    loss = self_labelling_loss(logits, p, 0.8)
    other = logits.clone()
    other[2] = 50.0 * normal(2, seed=1)
    torch.testing.assert_close(self_labelling_loss(other, p, 0.8), loss)
    # One cluster a hundred times over is still one of two.
    many = torch.cat([logits[:2], logits[:1].repeat(99, 1)])
    p_many = torch.cat([p[:2], p[:1].repeat(99, 1)])
    torch.testing.assert_close(
        self_labelling_loss(many, p_many, 0.8),
        self_labelling_loss(logits[:2], p[:2], 0.8),
    )


def test_no_sure_row_is_no_loss(device):
    logits = normal(5, 3).to(device).requires_grad_()
    loss = self_labelling_loss(logits, torch.full((5, 3), 1 / 3, device=device), 0.9)
    loss.backward()
    assert float(loss.detach()) == 0
    assert (logits.grad == 0).all()


def test_gradient_of_self_labelling_is_that_of_finite_differences():
    logits, p = normal(6, 3, seed=1).requires_grad_(), log_probabilities(6, 3).exp()
    assert torch.autograd.gradcheck(lambda x: self_labelling_loss(x, p, 0.5), logits)


def test_views_that_contradict_a_sure_row_have_a_finite_loss(device):
    logits = torch.tensor([[1e6, 0.0]], device=device).requires_grad_()
    p = torch.tensor([[0.0, 1.0]], device=device)
    loss = self_labelling_loss(logits, p, 0.9)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1e6)
    assert torch.isfinite(logits.grad).all()
