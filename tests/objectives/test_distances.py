import numpy as np
import pytest
import torch

from skdeep.objectives.distances import squared_distances


def normal(*shape, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=dtype)


def naive_squared_distances(a, b):
    return torch.stack([torch.stack([((x - y) ** 2).sum() for y in b]) for x in a])


def test_worked_example():
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    b = torch.tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    expected = torch.tensor([[0.0, 1.0, 9.0], [25.0, 18.0, 16.0]])
    torch.testing.assert_close(squared_distances(a, b), expected)


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (1, 4, 3), (5, 1, 2), (7, 3, 10)])
def test_distances_equal_the_naive_loop(n, m, d, device):
    a, b = normal(n, d, seed=1).to(device), normal(m, d, seed=2).to(device)
    found = squared_distances(a, b)
    assert found.shape == (n, m)
    torch.testing.assert_close(found, naive_squared_distances(a, b))


def test_distances_are_symmetric_in_their_arguments():
    a, b = normal(6, 3, seed=1), normal(4, 3, seed=2)
    torch.testing.assert_close(squared_distances(a, b), squared_distances(b, a).T)


def test_rigid_motions_keep_distances():
    a, b = normal(6, 3, seed=1), normal(4, 3, seed=2)
    rotation, shift = torch.linalg.qr(normal(3, 3, seed=3))[0], normal(3, seed=4)
    moved = squared_distances(a @ rotation + shift, b @ rotation + shift)
    torch.testing.assert_close(moved, squared_distances(a, b))


def test_permutations_of_rows_permute_distances():
    a, b = normal(6, 3, seed=1), normal(4, 3, seed=2)
    rows, columns = torch.tensor([5, 0, 3, 1, 2, 4]), torch.tensor([2, 0, 3, 1])
    permuted = squared_distances(a[rows], b[columns])
    torch.testing.assert_close(permuted, squared_distances(a, b)[rows][:, columns])


def test_gradient_is_that_of_finite_differences():
    a, b = normal(5, 3, seed=1), normal(4, 3, seed=2)
    inputs = (a.requires_grad_(), b.requires_grad_())
    assert torch.autograd.gradcheck(squared_distances, inputs)


def test_gradient_is_twice_the_difference():
    a, b = normal(5, 3, seed=1).requires_grad_(), normal(4, 3, seed=2).requires_grad_()
    weight = normal(5, 4, seed=3)
    (squared_distances(a, b) * weight).sum().backward()
    difference = (a[:, None] - b[None]).detach()
    expected = 2 * weight[:, :, None] * difference
    torch.testing.assert_close(a.grad, expected.sum(1))
    torch.testing.assert_close(b.grad, -expected.sum(0))


@pytest.mark.parametrize("far", [1e4, 1e6])
def test_close_points_far_from_the_origin_keep_their_distances(far, device):
    a = (far + normal(20, 4, seed=1)).float().to(device)
    b = (far + normal(5, 4, seed=2)).float().to(device)
    exact = naive_squared_distances(a.double(), b.double())
    torch.testing.assert_close(
        squared_distances(a, b).double(), exact, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("far", [1.0, 1e4, 1e8, 1e15])
def test_distances_err_by_a_rounding_of_the_squares_at_most(far, device):
    a = far * normal(20, 4, seed=1, dtype=torch.float32).to(device)
    b = far * normal(5, 4, seed=2, dtype=torch.float32).to(device)
    b[0] = a[0]
    exact = naive_squared_distances(a.double(), b.double())
    found = squared_distances(a, b)
    assert torch.isfinite(found).all()
    assert (found >= 0).all()
    np.testing.assert_allclose(
        found.cpu() / far**2, exact.cpu() / far**2, rtol=1e-5, atol=1e-5
    )


def test_coincident_points_have_distance_zero_and_a_finite_gradient(device):
    a = normal(1, 3, dtype=torch.float32).to(device).repeat(4, 1).requires_grad_()
    b = a[:1].detach().clone().requires_grad_()
    found = squared_distances(a, b)
    assert (found == 0).all()
    found.sum().backward()
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()
