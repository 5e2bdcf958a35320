import math

import pytest
import torch

from skdeep.objectives.contrastive import neighbor_contrastive_loss


def normal(*shape, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=dtype)


def codes(n=7, n_components=3, noise=0.5):
    z = normal(n, n_components, seed=1)
    return z, z + noise * normal(n, n_components, seed=2)


def naive_loss(z, z_neighbor):
    def similarity(a, b):
        return 1 / (1 + sum((u - v) ** 2 for u, v in zip(a, b, strict=True)))

    z, z_neighbor = z.tolist(), z_neighbor.tolist()
    total = 0.0
    for i in range(len(z)):
        own = similarity(z[i], z_neighbor[i])
        everyone = sum(similarity(z[i], other) for other in z_neighbor)
        total -= math.log(own / everyone)
    return total / len(z)


def test_worked_example():
    z, z_neighbor = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    # Similarities: 1 and 1/5 to the first row, 1/2 and 1/2 to the second.
    loss = neighbor_contrastive_loss(z, z_neighbor)
    assert loss.shape == ()
    assert float(loss) == pytest.approx(-(math.log(5 / 6) + math.log(1 / 2)) / 2)


@pytest.mark.parametrize("n", [1, 2, 7, 20])
@pytest.mark.parametrize("n_components", [1, 3])
def test_loss_equals_the_naive_double_loop(n, n_components, device):
    z, z_neighbor = codes(n, n_components)
    found = neighbor_contrastive_loss(z.to(device), z_neighbor.to(device))
    assert float(found) == pytest.approx(naive_loss(z, z_neighbor))


def test_rigid_motions_keep_the_loss():
    z, z_neighbor = codes()
    rotation, shift = torch.linalg.qr(normal(3, 3, seed=3))[0], normal(3, seed=4)
    torch.testing.assert_close(
        neighbor_contrastive_loss(z @ rotation + shift, z_neighbor @ rotation + shift),
        neighbor_contrastive_loss(z, z_neighbor),
    )


def test_order_of_the_pairs_does_not_matter():
    z, z_neighbor = codes()
    order = torch.tensor([6, 2, 0, 1, 3, 5, 4])
    torch.testing.assert_close(
        neighbor_contrastive_loss(z[order], z_neighbor[order]),
        neighbor_contrastive_loss(z, z_neighbor),
    )


def test_gradient_is_that_of_finite_differences():
    z, z_neighbor = codes(n=4, n_components=2)
    inputs = (z.requires_grad_(), z_neighbor.requires_grad_())
    assert torch.autograd.gradcheck(neighbor_contrastive_loss, inputs)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_uninformative_codes_lose_log_n(n, device):
    same = torch.ones(n, 3, device=device)
    loss = neighbor_contrastive_loss(normal(n, 3).float().to(device), same)
    assert float(loss) == pytest.approx(math.log(n), abs=1e-6)
    assert float(neighbor_contrastive_loss(same, same)) == pytest.approx(
        math.log(n), abs=1e-6
    )


def test_informative_pairs_lose_less_than_log_n_and_wrong_ones_more():
    z, z_neighbor = codes(noise=0.1)
    right = float(neighbor_contrastive_loss(z, z_neighbor))
    assert 0 < right < math.log(len(z))
    # Over all shifts each row meets each neighbour once: by Jensen's inequality the
    # mean of the losses is then log n at least.
    shifts = [
        float(neighbor_contrastive_loss(z, z_neighbor.roll(s, 0)))
        for s in range(len(z))
    ]
    assert sum(shifts) / len(shifts) >= math.log(len(z))
    assert min(shifts) == shifts[0] == right


def test_pairs_that_are_close_and_apart_from_the_others_lose_almost_nothing():
    z = 1e3 * torch.eye(5)
    assert float(neighbor_contrastive_loss(z, z)) < 1e-4


@pytest.mark.parametrize("far", [1e4, 1e8, 1e15])
def test_extreme_codes_stay_finite(far, device):
    z, z_neighbor = (code.float().to(device) for code in codes())
    for a, b in [
        (far * z, far * z_neighbor),  # all are far from each other
        (z + far, z_neighbor + far),  # all are far from the origin
        (far + z, z_neighbor),  # the two sides are far from each other
    ]:
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        loss = neighbor_contrastive_loss(a, b)
        loss.backward()
        for tensor in (loss, a.grad, b.grad):
            assert torch.isfinite(tensor).all()


def test_one_pair_and_coincident_pairs_have_finite_gradients(device):
    for n in (1, 4):
        z = torch.zeros(n, 2, device=device, requires_grad=True)
        neighbor_contrastive_loss(z, z.detach()).backward()
        assert (z.grad == 0).all()
