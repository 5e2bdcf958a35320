import math

import pytest
import torch

from skdeep.objectives.clustering import (
    clustering_divergence,
    clustering_divergence_per_sample,
    kmeans_loss,
    log_soft_assignment,
    moved_centroids,
    soft_assignment,
    target_distribution,
)
from tests.objectives.draws import normal

ALPHAS = [0.1, 0.5, 1.0, 3.0, 30.0]


def assignments(n=12, n_clusters=4, seed=0):
    return torch.softmax(2 * normal(n, n_clusters, seed=seed), dim=1)


def naive_soft_assignment(z, centroids, alpha):
    q = torch.empty(len(z), len(centroids), dtype=z.dtype)
    for i, x in enumerate(z):
        for j, center in enumerate(centroids):
            distance = sum((a - b) ** 2 for a, b in zip(x, center, strict=True))
            q[i, j] = (1 + distance / alpha) ** (-(alpha + 1) / 2)
        q[i] /= q[i].clone().sum()
    return q


def naive_target_distribution(q):
    p = torch.empty_like(q)
    for i in range(len(q)):
        for j in range(q.shape[1]):
            p[i, j] = q[i, j] ** 2 / sum(q[k, j] for k in range(len(q)))
        p[i] /= p[i].clone().sum()
    return p


def naive_divergence(p, q):
    total = 0.0
    for p_row, q_row in zip(p.tolist(), q.tolist(), strict=True):
        for a, b in zip(p_row, q_row, strict=True):
            total += a * math.log(a / b) if a else 0.0
    return total / len(p)


def naive_kmeans_loss(z, centroids, labels):
    total = 0.0
    for x, label in zip(z.tolist(), labels.tolist(), strict=True):
        center = centroids[label].tolist()
        total += sum((a - b) ** 2 for a, b in zip(x, center, strict=True))
    return total / len(z)


def naive_moved_centroids(centroids, counts, z, labels):
    """Eq. (8) of DCN, one row after the other."""
    centroids, counts = centroids.clone(), counts.clone()
    for x, k in zip(z, labels.tolist(), strict=True):
        counts[k] += 1
        centroids[k] -= (centroids[k] - x) / counts[k]
    return centroids, counts


# Two rows and two clusters on a line, alpha = 1: q, p and the loss by hand.
Z = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
CENTROIDS = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
Q = torch.tensor([[5 / 6, 1 / 6], [1 / 2, 1 / 2]], dtype=torch.float64)
P = torch.tensor([[25 / 27, 2 / 27], [1 / 3, 2 / 3]], dtype=torch.float64)
LOSS = (
    25 / 27 * math.log(10 / 9)
    + 2 / 27 * math.log(4 / 9)
    + 1 / 3 * math.log(2 / 3)
    + 2 / 3 * math.log(4 / 3)
) / 2


def test_worked_example_of_the_soft_assignment():
    torch.testing.assert_close(soft_assignment(Z, CENTROIDS), Q)
    torch.testing.assert_close(log_soft_assignment(Z, CENTROIDS), Q.log())


def test_worked_example_of_the_target_distribution():
    torch.testing.assert_close(target_distribution(Q), P)


def test_worked_example_of_the_divergence():
    loss = clustering_divergence(P, Q.log())
    assert loss.shape == ()
    assert float(loss) == pytest.approx(LOSS)


# soft assignment, eq. (1)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_soft_assignment_equals_the_naive_loop(alpha, device):
    z, centroids = normal(9, 3, seed=1), normal(4, 3, seed=2)
    expected = naive_soft_assignment(z, centroids, alpha)
    z, centroids = z.to(device), centroids.to(device)
    torch.testing.assert_close(soft_assignment(z, centroids, alpha).cpu(), expected)
    log_q = log_soft_assignment(z, centroids, alpha)
    torch.testing.assert_close(log_q.cpu(), expected.log())


def test_soft_assignment_with_many_degrees_of_freedom_is_that_of_gaussians():
    z, centroids = normal(9, 3, seed=1), normal(4, 3, seed=2)
    squares = torch.cdist(z, centroids).square()
    gaussian = torch.softmax(-squares / 2, dim=1)
    found = soft_assignment(z, centroids, alpha=1e8)
    torch.testing.assert_close(found, gaussian, rtol=1e-5, atol=1e-5)


def test_smaller_alpha_has_heavier_tails():
    z, centroids = torch.zeros(1, 1), torch.tensor([[0.0], [1e4]])
    far = [float(soft_assignment(z, centroids, alpha)[0, 1]) for alpha in ALPHAS]
    assert far == sorted(far, reverse=True)


def test_rigid_motions_keep_soft_assignments():
    z, centroids = normal(9, 3, seed=1), normal(4, 3, seed=2)
    rotation, shift = torch.linalg.qr(normal(3, 3, seed=3))[0], normal(3, seed=4)
    moved = soft_assignment(z @ rotation + shift, centroids @ rotation + shift)
    torch.testing.assert_close(moved, soft_assignment(z, centroids))


def test_names_of_clusters_and_order_of_rows_do_not_matter():
    z, centroids = normal(5, 3, seed=1), normal(4, 3, seed=2)
    rows, clusters = torch.tensor([4, 2, 0, 1, 3]), torch.tensor([2, 0, 3, 1])
    q = soft_assignment(z, centroids)
    permuted = soft_assignment(z[rows], centroids[clusters])
    torch.testing.assert_close(permuted, q[rows][:, clusters])
    p = target_distribution(q)
    torch.testing.assert_close(target_distribution(permuted), p[rows][:, clusters])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_gradient_of_the_soft_assignment_is_that_of_finite_differences(alpha):
    z, centroids = normal(3, 2, seed=1), normal(2, 2, seed=2)
    inputs = (z.requires_grad_(), centroids.requires_grad_(), alpha)
    assert torch.autograd.gradcheck(log_soft_assignment, inputs)


def test_gradient_of_the_target_distribution_is_that_of_finite_differences():
    q = assignments(n=3, n_clusters=2).requires_grad_()
    assert torch.autograd.gradcheck(target_distribution, q)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("far", [1e4, 1e8, 1e15])
def test_rows_far_from_every_centroid_keep_finite_assignments(alpha, far, device):
    z = (far * normal(6, 3, dtype=torch.float32)).to(device).requires_grad_()
    centroids = normal(4, 3, dtype=torch.float32).to(device).requires_grad_()
    log_q = log_soft_assignment(z, centroids, alpha)
    assert torch.isfinite(log_q).all()
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(6, device=device))
    p = target_distribution(log_q.detach().exp())
    loss = clustering_divergence(p, log_q)
    loss.backward()
    for tensor in (p, loss, z.grad, centroids.grad):
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("far", [1e4, 1e8])
def test_centroids_far_from_each_other_give_hard_finite_assignments(far, device):
    centroids = (far * torch.eye(3)).to(device).requires_grad_()
    z = centroids.detach().repeat(2, 1)
    log_q = log_soft_assignment(z, centroids)
    assert torch.isfinite(log_q).all()
    assert (log_q.argmax(1).cpu() == torch.arange(3).repeat(2)).all()
    p = target_distribution(log_q.detach().exp())
    clustering_divergence(p, log_q).backward()
    assert torch.isfinite(centroids.grad).all()


@pytest.mark.parametrize("far", [1e4, 1e6])
def test_soft_assignments_far_from_the_origin_are_those_at_the_origin(far, device):
    # Quarters are exact in float32 at this height.
    z = (normal(9, 3, seed=1, dtype=torch.float32) * 4).round().to(device) / 4
    centroids = (normal(4, 3, seed=2, dtype=torch.float32) * 4).round().to(device) / 4
    torch.testing.assert_close(
        soft_assignment(z + far, centroids + far), soft_assignment(z, centroids)
    )


def test_coincident_rows_and_centroids_are_shared_evenly(device):
    z = torch.full((5, 3), 7.0, device=device, requires_grad=True)
    centroids = torch.full((4, 3), 7.0, device=device, requires_grad=True)
    log_q = log_soft_assignment(z, centroids)
    torch.testing.assert_close(log_q.exp(), torch.full((5, 4), 0.25, device=device))
    p = target_distribution(log_q.detach().exp())
    torch.testing.assert_close(p, torch.full((5, 4), 0.25, device=device))
    clustering_divergence(p, log_q).backward()
    assert (z.grad == 0).all()
    assert (centroids.grad == 0).all()


def test_one_cluster_takes_all_and_one_row_does(device):
    z = normal(5, 3, dtype=torch.float32).to(device)
    ones = torch.ones(5, 1, device=device)
    log_q = log_soft_assignment(z, z[:1])
    torch.testing.assert_close(log_q.exp(), ones)
    torch.testing.assert_close(target_distribution(log_q.exp()), ones)
    assert float(clustering_divergence(ones, log_q)) == 0
    # Of a single row, f_j is q_j, and its target is its assignment.
    q = soft_assignment(z[:1], z)
    torch.testing.assert_close(target_distribution(q), q)


# target distribution, eq. (3)


def test_target_distribution_equals_the_naive_loop(device):
    q = assignments()
    found = target_distribution(q.to(device)).cpu()
    torch.testing.assert_close(found, naive_target_distribution(q))


def test_rows_of_the_target_distribution_sum_to_one():
    for seed in range(5):
        p = target_distribution(assignments(seed=seed))
        torch.testing.assert_close(p.sum(1), torch.ones(len(p), dtype=p.dtype))
        assert (p >= 0).all()


def test_target_distribution_damps_larger_clusters():
    # Seven rows lean to cluster 0 and three to cluster 1; the last is undecided.
    q = torch.tensor([[0.9, 0.1]] * 7 + [[0.1, 0.9]] * 3 + [[0.5, 0.5]])
    p = target_distribution(q)
    assert p[-1, 1] > 0.5 > p[-1, 0]
    sizes = q.sum(0)
    torch.testing.assert_close(p[-1, 1] / p[-1, 0], sizes[0] / sizes[1])


def test_target_distribution_sharpens_between_clusters_of_one_size():
    q = assignments(seed=1)
    q = torch.cat([q, q.roll(1, 1), q.roll(2, 1), q.roll(3, 1)])  # equal sizes
    p = target_distribution(q)
    assert (p.argmax(1) == q.argmax(1)).all()
    assert (p.amax(1) >= q.amax(1)).all()
    torch.testing.assert_close(p, q.square() / q.square().sum(1, keepdim=True))


def test_hard_assignments_are_their_own_target():
    q = torch.eye(3).repeat(4, 1)
    assert torch.equal(target_distribution(q), q)


def test_frequency_of_the_full_data_gives_the_rows_of_the_full_target():
    q = assignments(n=20)
    p = target_distribution(q)
    some = torch.tensor([3, 17, 4])
    torch.testing.assert_close(target_distribution(q[some], q.sum(0)), p[some])


@pytest.mark.parametrize("factor", [1e-6, 0.5, 20.0, 1e6])
def test_factor_of_the_frequency_cancels(factor):
    q, frequency = assignments(), torch.tensor([1.0, 5.0, 2.0, 0.1]).double()
    torch.testing.assert_close(
        target_distribution(q, factor * frequency), target_distribution(q, frequency)
    )


def test_cluster_that_no_row_touches_has_target_zero(device):
    q = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0]], device=device)
    p = target_distribution(q)
    assert (p[:, 2] == 0).all()
    torch.testing.assert_close(p[:, :2], target_distribution(q[:, :2]))


def test_row_in_a_cluster_that_was_empty_in_training_has_a_finite_target(device):
    frequency = torch.tensor([10.0, 0.0, 0.0], device=device)
    q = torch.tensor([[0.0, 0.5, 0.5], [0.5, 0.5, 0.0]], device=device)
    p = target_distribution(q, frequency)
    torch.testing.assert_close(p.sum(1), torch.ones(2, device=device))


# divergence, eq. (2)


def test_divergence_equals_the_naive_loop(device):
    p, q = assignments(seed=1), assignments(seed=2)
    p[0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    found = clustering_divergence(p.to(device), q.log().to(device))
    assert float(found) == pytest.approx(naive_divergence(p, q))


def test_divergence_is_the_mean_of_its_rows():
    p, log_q = assignments(seed=1), assignments(seed=2).log()
    rows = clustering_divergence_per_sample(p, log_q)
    assert rows.shape == (len(p),)
    torch.testing.assert_close(clustering_divergence(p, log_q), rows.mean())


def test_divergence_of_each_row_is_positive_unless_both_agree():
    p, q = assignments(seed=1), assignments(seed=2)
    assert (clustering_divergence_per_sample(p, q.log()) > 0).all()
    itself = clustering_divergence_per_sample(p, p.log())
    torch.testing.assert_close(itself, torch.zeros_like(itself), rtol=0, atol=1e-15)


def test_gradient_of_the_divergence_is_that_of_finite_differences():
    p, log_q = assignments(seed=1), assignments(seed=2).log().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda log_q: clustering_divergence(p, log_q), log_q
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradient_of_dec_is_the_derived_one(alpha):
    z = normal(8, 3, seed=1).requires_grad_()
    centroids = normal(4, 3, seed=2).requires_grad_()
    log_q = log_soft_assignment(z, centroids, alpha)
    q = log_q.detach().exp()
    p = target_distribution(q)
    # The derivation sums over the rows; our loss is their mean.
    (len(z) * clustering_divergence(p, log_q)).backward()

    difference = (z[:, None] - centroids[None]).detach()
    kernel = 1 / (1 + difference.square().sum(2) / alpha)
    pull = (alpha + 1) / alpha * ((p - q) * kernel)[:, :, None] * difference
    torch.testing.assert_close(z.grad, pull.sum(1))
    torch.testing.assert_close(centroids.grad, -pull.sum(0))


def test_step_against_the_gradient_lowers_the_divergence():
    z, centroids = normal(30, 3, seed=1).requires_grad_(), normal(4, 3, seed=2)
    p = target_distribution(soft_assignment(z.detach(), centroids))
    before = clustering_divergence(p, log_soft_assignment(z, centroids))
    before.backward()
    moved = z.detach() - 0.1 * z.grad
    assert clustering_divergence(p, log_soft_assignment(moved, centroids)) < before


def test_cluster_that_is_no_target_may_be_impossible():
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    log_q = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).log().requires_grad_()
    divergence = clustering_divergence(p, log_q)
    divergence.backward()
    assert divergence == 0
    torch.testing.assert_close(log_q.grad, -p / 2)
    assert clustering_divergence(p.flip(1), log_q) == torch.inf


@pytest.mark.parametrize(
    "divergence", [clustering_divergence_per_sample, clustering_divergence]
)
def test_targets_of_other_clusters_or_rows_are_refused(divergence):
    with pytest.raises(
        ValueError, match=r"p and log_q must have the same shape. Got \(4, 1"
    ):
        divergence(torch.ones(4, 1), torch.zeros(4, 3))


# DCN


def test_kmeans_loss_and_moved_centroids_by_hand():
    z = torch.tensor([[1.0], [3.0], [6.0]])
    centroids, counts = torch.tensor([[0.0], [5.0]]), torch.tensor([1.0, 3.0])
    labels = torch.tensor([0, 0, 1])
    assert float(kmeans_loss(z, centroids, labels)) == pytest.approx((1 + 9 + 1) / 3)
    # Of the first: 0 -> 1/2 -> 4/3, which is (1 * 0 + 1 + 3) / 3.
    moved, counted = moved_centroids(centroids, counts, z, labels)
    torch.testing.assert_close(moved, torch.tensor([[4 / 3], [5.25]]))
    assert counted.tolist() == [3, 4]


def test_kmeans_loss_equals_the_naive_loop(device):
    z, centroids = normal(9, 3, seed=1), normal(4, 3, seed=2)
    labels = torch.arange(9) % 4
    found = kmeans_loss(z.to(device), centroids.to(device), labels.to(device))
    assert float(found) == pytest.approx(naive_kmeans_loss(z, centroids, labels))


def test_gradient_of_the_kmeans_loss_is_that_of_finite_differences():
    z, centroids = normal(5, 2, seed=1), normal(3, 2, seed=2)
    labels = torch.tensor([0, 2, 2, 0, 2])
    assert torch.autograd.gradcheck(
        lambda z, centroids: kmeans_loss(z, centroids, labels),
        (z.requires_grad_(), centroids.requires_grad_()),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("largest_count", [0, 3, 10_000])
def test_centroids_moved_at_once_are_those_moved_row_by_row(
    dtype, largest_count, device
):
    z, centroids = normal(256, 5, seed=1, dtype=dtype), normal(7, 5, seed=2)
    rng = torch.Generator().manual_seed(3)
    labels = torch.randint(6, (256,), generator=rng)  # the last cluster gets no row
    counts = torch.randint(largest_count + 1, (7,), generator=rng).to(dtype)
    centroids = centroids.to(dtype)
    given = (centroids, counts, z, labels)
    moved, counted = moved_centroids(*(tensor.to(device) for tensor in given))
    expected, expected_counts = naive_moved_centroids(*given)
    torch.testing.assert_close(moved.cpu(), expected)
    torch.testing.assert_close(counted.cpu(), expected_counts)
    assert torch.equal(moved[6].cpu(), centroids[6])


def test_batches_of_any_size_move_centroids_to_the_same_place():
    z, labels = normal(60, 3), torch.arange(60) % 4
    centroids, counts = normal(4, 3, seed=1), torch.ones(4).double()
    whole, _ = moved_centroids(centroids, counts, z, labels)
    for part in torch.arange(60).split(7):
        centroids, counts = moved_centroids(centroids, counts, z[part], labels[part])
    torch.testing.assert_close(centroids, whole)


def test_centroids_without_counts_move_to_the_means_of_their_rows():
    z, labels = normal(30, 3), torch.arange(30) % 3
    moved, _ = moved_centroids(normal(3, 3, seed=1), torch.zeros(3).double(), z, labels)
    for k in range(3):
        torch.testing.assert_close(moved[k], z[labels == k].mean(0))


def test_centroids_move_without_a_gradient():
    z = normal(5, 2).requires_grad_()
    labels = torch.zeros(5, dtype=torch.int64)
    moved, counted = moved_centroids(
        torch.zeros(1, 2).double(), torch.ones(1), z, labels
    )
    assert not moved.requires_grad
    assert not counted.requires_grad


def test_rows_far_away_move_centroids_to_finite_places(device):
    z = torch.full((4, 2), 1e18, device=device)
    centroids, counts = torch.zeros(2, 2, device=device), torch.ones(2, device=device)
    labels = torch.zeros(4, dtype=torch.int64, device=device)
    moved, _ = moved_centroids(centroids, counts, z, labels)
    torch.testing.assert_close(moved[0], torch.full((2,), 8e17, device=device))
    assert torch.isfinite(kmeans_loss(z, moved, labels))
