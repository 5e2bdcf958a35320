import numpy as np
import pytest
import torch

from skdeep.objectives.distances import squared_distances, student_log_softmax
from tests.objectives.draws import normal

ALPHAS = [0.1, 0.5, 1.0, 3.0, 30.0]
every_alpha = pytest.mark.parametrize("alpha", ALPHAS)


def naive_squared_distances(a, b):
    return torch.stack([torch.stack([((x - y) ** 2).sum() for y in b]) for x in a])


# squared distances


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


# logarithm of the Student-t similarity, normalised


def both_sides(n=6, m=4, d=3, far=0.0, device="cpu", dtype=torch.float64):
    a, b = normal(n, d, seed=1) + far, normal(m, d, seed=2) + far
    return [x.to(device, dtype).requires_grad_() for x in (a, b)]


def naive_student_log_softmax(a, b, alpha):
    kernel = (1 + naive_squared_distances(a, b) / alpha) ** (-(alpha + 1) / 2)
    return (kernel / kernel.sum(1, keepdim=True)).log()


def composed_student_log_softmax(a, b, alpha):
    distance = squared_distances(a, b)
    return torch.log_softmax(-(alpha + 1) / 2 * torch.log1p(distance / alpha), dim=1)


def test_worked_example_of_the_similarity():
    a, b = torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0], [2.0]])
    # With alpha = 1 the similarities are 1, 1/2 and 1/5.
    expected = torch.tensor([[10 / 17, 5 / 17, 2 / 17]]).log()
    torch.testing.assert_close(student_log_softmax(a, b), expected)
    # With alpha = 2 they are 1, (3/2)^(-3/2) and 3^(-3/2).
    kernel = torch.tensor([[1.0, 1.5**-1.5, 3**-1.5]])
    expected = (kernel / kernel.sum()).log()
    torch.testing.assert_close(student_log_softmax(a, b, 2.0), expected)


@every_alpha
@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (1, 4, 3), (5, 1, 2), (7, 3, 10)])
def test_similarity_equals_the_naive_loop(n, m, d, alpha, device):
    a, b = both_sides(n, m, d, device=device)
    found = student_log_softmax(a, b, alpha)
    assert found.shape == (n, m)
    torch.testing.assert_close(found, naive_student_log_softmax(a, b, alpha))


@every_alpha
def test_gradient_of_the_similarity_is_that_of_finite_differences(alpha):
    a, b = both_sides()
    assert torch.autograd.gradcheck(student_log_softmax, (a, b, alpha))
    # Of one side alone, too.
    assert torch.autograd.gradcheck(student_log_softmax, (a, b.detach(), alpha))
    assert torch.autograd.gradcheck(student_log_softmax, (a.detach(), b, alpha))


@every_alpha
def test_similarity_and_its_gradient_are_those_of_the_composition(alpha, device):
    weight, gradients = normal(6, 4, seed=3).to(device), []
    for function in (student_log_softmax, composed_student_log_softmax):
        a, b = both_sides(device=device)
        log_q = function(a, b, alpha)
        gradients.append([log_q, *torch.autograd.grad((log_q * weight).sum(), (a, b))])
    torch.testing.assert_close(*gradients)


def test_similarities_of_the_rows_of_one_matrix_have_both_gradients():
    (a, _), (again, _) = both_sides(), both_sides()
    weight = normal(6, 6, seed=3)
    (student_log_softmax(a, a) * weight).sum().backward()
    (composed_student_log_softmax(again, again, 1.0) * weight).sum().backward()
    torch.testing.assert_close(a.grad, again.grad)


@every_alpha
def test_similarity_passes_back_twice_through_a_kept_graph(alpha):
    a, b = both_sides()
    loss = (student_log_softmax(a, b, alpha) * normal(6, 4, seed=3)).sum()
    first = torch.autograd.grad(loss, (a, b), retain_graph=True)
    second = torch.autograd.grad(loss, (a, b))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_similarity_leaves_its_arguments_and_the_gradient_alone():
    a, b = both_sides()
    weight = normal(6, 4, seed=3)
    kept = [x.detach().clone() for x in (a, b, weight)]
    student_log_softmax(a, b, 3.0).backward(weight)
    for x, before in zip((a, b, weight), kept, strict=True):
        assert torch.equal(x, before)


@every_alpha
@pytest.mark.parametrize("far", [1e4, 1e6])
def test_similarity_far_from_the_origin_is_exact(far, alpha, device):
    a, b = both_sides(far=far, device=device, dtype=torch.float32)
    exact_a, exact_b = (x.detach().double().requires_grad_() for x in (a, b))
    weight = normal(6, 4, seed=3).to(device)
    found = student_log_softmax(a, b, alpha)
    exact = naive_student_log_softmax(exact_a, exact_b, alpha)
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)
    (found * weight.float()).sum().backward()
    (exact * weight).sum().backward()
    for x, exact_x in ((a, exact_a), (b, exact_b)):
        torch.testing.assert_close(x.grad.double(), exact_x.grad, rtol=1e-3, atol=1e-3)


@every_alpha
@pytest.mark.parametrize("far", [0.0, 1e-15, 1e4, 1e8, 1e15])
def test_extremes_of_the_similarity_stay_finite(far, alpha, device):
    a, b = both_sides(device=device, dtype=torch.float32)
    for x, y in [
        (far * a, far * b),  # all coincide, or are far from each other
        (a + far, b + far),  # all are far from the origin
        (a + far, b),  # the two sides are far from each other
    ]:
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        log_q = student_log_softmax(x, y, alpha)
        log_q.diagonal().sum().backward()
        for tensor in (log_q, x.grad, y.grad):
            assert torch.isfinite(tensor).all()


def test_coincident_points_are_equally_similar_and_pull_nowhere(device):
    a = torch.zeros(3, 2, device=device, requires_grad=True)
    b = torch.zeros(4, 2, device=device, requires_grad=True)
    log_q = student_log_softmax(a, b)
    torch.testing.assert_close(log_q.exp(), torch.full_like(log_q, 1 / 4))
    log_q[:, 0].sum().backward()
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()
