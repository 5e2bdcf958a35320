import math

import pytest
import torch

from skdeep.objectives.contrastive import neighbor_contrastive_loss, nt_xent_loss
from tests.objectives.draws import normal


def codes(n=7, n_components=3, noise=0.5):
    z = normal(n, n_components, seed=1)
    return z, z + noise * normal(n, n_components, seed=2)


def naive_loss(z, z_neighbor, exaggeration=1):
    def similarity(a, b):
        return 1 / (1 + sum((u - v) ** 2 for u, v in zip(a, b, strict=True)))

    z, z_neighbor = z.tolist(), z_neighbor.tolist()
    total = 0.0
    for i in range(len(z)):
        own = similarity(z[i], z_neighbor[i])
        everyone = sum(similarity(z[i], other) for other in z_neighbor)
        total -= math.log(own**exaggeration / everyone)
    return total / len(z)


def test_worked_example():
    z, z_neighbor = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    # Similarities: 1 and 1/5 to the first row, 1/2 and 1/2 to the second.
    loss = neighbor_contrastive_loss(z, z_neighbor)
    assert loss.shape == ()
    assert float(loss) == pytest.approx(-(math.log(5 / 6) + math.log(1 / 2)) / 2)


@pytest.mark.parametrize("n", [1, 2, 7, 20])
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("exaggeration", [1, 4])
def test_loss_equals_the_naive_double_loop(n, n_components, exaggeration, device):
    z, z_neighbor = codes(n, n_components)
    pairs = z.to(device), z_neighbor.to(device)
    found = neighbor_contrastive_loss(*pairs, exaggeration)
    assert float(found) == pytest.approx(naive_loss(z, z_neighbor, exaggeration))


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
    assert torch.autograd.gradcheck(neighbor_contrastive_loss, (*inputs, 1))
    assert torch.autograd.gradcheck(neighbor_contrastive_loss, (*inputs, 4))


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


@pytest.mark.parametrize("loss", [neighbor_contrastive_loss, nt_xent_loss])
def test_codes_without_a_partner_are_refused(loss):
    with pytest.raises(
        ValueError, match=r"must have the same shape. Got \(5, 3\) and \(7"
    ):
        loss(torch.zeros(5, 3), torch.zeros(7, 3))


# NT-Xent


def naive_nt_xent(z1, z2, temperature):
    def cosine(a, b):
        product = sum(u * v for u, v in zip(a, b, strict=True))
        return product / math.hypot(*a) / math.hypot(*b)

    n, views = len(z1), z1.tolist() + z2.tolist()
    total = 0.0
    for i in range(2 * n):
        weights = [math.exp(cosine(views[i], b) / temperature) for b in views]
        others = sum(weight for j, weight in enumerate(weights) if j != i)
        total -= math.log(weights[(i + n) % (2 * n)] / others)
    return total / (2 * n)


def test_worked_example_of_nt_xent():
    z1 = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    z2 = torch.tensor([[5.0, 0.0], [0.0, -1.0]])
    # Cosines: the views of row 0 agree (1) and are orthogonal to all others; those of
    # row 1 are opposite (-1). With temperature 1 / log 2 the weights are 2, 1 and 1/2.
    loss = nt_xent_loss(z1, z2, temperature=1 / math.log(2))
    assert loss.shape == ()
    expected = -(math.log(2 / 4) + math.log(0.5 / 2.5)) / 2
    assert float(loss) == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_equals_the_naive_double_loop(n, temperature, device):
    z1, z2 = codes(n)
    found = nt_xent_loss(z1.to(device), z2.to(device), temperature)
    expected = naive_nt_xent(z1, z2, temperature)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_nt_xent_knows_neither_order_of_views_nor_of_rows():
    z1, z2 = codes()
    order = torch.tensor([6, 2, 0, 1, 3, 5, 4])
    loss = nt_xent_loss(z1, z2)
    torch.testing.assert_close(nt_xent_loss(z2, z1), loss)
    torch.testing.assert_close(nt_xent_loss(z1[order], z2[order]), loss)


def test_nt_xent_knows_neither_lengths_nor_rotations():
    z1, z2 = codes()
    rotation = torch.linalg.qr(normal(3, 3, seed=3))[0]
    lengths = normal(7, 1, seed=4).exp()
    loss = nt_xent_loss(z1, z2)
    torch.testing.assert_close(nt_xent_loss(z1 @ rotation, z2 @ rotation), loss)
    torch.testing.assert_close(nt_xent_loss(lengths * z1, 1e3 * z2), loss)


def test_gradient_of_nt_xent_is_that_of_finite_differences():
    z1, z2 = codes(n=4, n_components=2)
    inputs = (z1.requires_grad_(), z2.requires_grad_(), 0.5)
    assert torch.autograd.gradcheck(nt_xent_loss, inputs)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_nt_xent_of_uninformative_codes_is_the_logarithm_of_the_other_views(n, device):
    same = torch.ones(n, 3, device=device)
    found = float(nt_xent_loss(same, same))
    assert found == pytest.approx(math.log(2 * n - 1), abs=1e-6)


def test_nt_xent_is_least_for_the_right_pairs():
    z1, z2 = codes(noise=0.1)
    losses = [float(nt_xent_loss(z1, z2.roll(s, 0))) for s in range(len(z1))]
    assert min(losses) == losses[0]
    assert float(nt_xent_loss(torch.eye(5), torch.eye(5), 0.01)) < 1e-4


def test_single_row_has_no_nt_xent_and_no_gradient(device):
    z1, z2 = (code.float().to(device).requires_grad_() for code in codes(n=1))
    loss = nt_xent_loss(z1, z2)
    loss.backward()
    assert loss.item() == 0
    assert (z1.grad == 0).all()
    assert (z2.grad == 0).all()


@pytest.mark.parametrize("temperature", [1e-4, 0.5, 1e4])
@pytest.mark.parametrize("far", [0.0, 1e-4, 1e4, 1e8])
def test_extreme_codes_and_temperatures_keep_nt_xent_finite(far, temperature, device):
    # Cosines over 1e-4 are scores of +-1e4.
    z1, z2 = ((far * code).float().to(device).requires_grad_() for code in codes())
    loss = nt_xent_loss(z1, z2, temperature)
    loss.backward()
    for tensor in (loss, z1.grad, z2.grad):
        assert torch.isfinite(tensor).all()
