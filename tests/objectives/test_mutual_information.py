import math

import pytest
import torch

from skdeep.objectives.adversarial import discriminator_loss
from skdeep.objectives.mutual_information import (
    MUTUAL_INFORMATION_BOUNDS,
    dv_bound,
    dv_corrected_loss,
    infonce_all_locations_score,
    infonce_bound,
    jsd_score,
    log_mean_exp,
    nwj_bound,
    nwj_of_pairs,
    off_diagonal,
    positives_and_negatives,
)
from tests.objectives.draws import normal

BOUNDS = [jsd_score, infonce_bound, dv_bound, nwj_bound]
every_bound = pytest.mark.parametrize("bound", BOUNDS)
ALL = [*BOUNDS, infonce_all_locations_score]
every_function = pytest.mark.parametrize("function", ALL)


def sp(t):
    return math.log(1 + math.exp(t))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def naive_bound(bound, T):
    n = len(T)
    positive = [T[i][i] for i in range(n)]
    negative = [T[i][j] for i in range(n) for j in range(n) if i != j]
    if bound is jsd_score:
        return mean(-sp(-t) for t in positive) - mean(sp(t) for t in negative)
    if bound is dv_bound:
        return mean(positive) - math.log(mean(math.exp(t) for t in negative))
    if bound is nwj_bound:
        return mean(positive) - mean(math.exp(t - 1) for t in negative)
    columns = [sum(math.exp(T[i][j]) for i in range(n)) / n for j in range(n)]
    return mean(math.log(math.exp(T[j][j]) / columns[j]) for j in range(n))


def naive_all_locations(T):
    m, n = len(T), len(T[0])
    shares = []
    for j in range(n):
        others = sum(math.exp(T[k][i][j]) for k in range(m) for i in range(n) if i != j)
        for k in range(m):
            own = math.exp(T[k][j][j])
            shares.append(math.log((1 + m * (n - 1)) * own / (own + others)))
    return mean(shares)


def test_diagonal_is_dropped_row_by_row():
    scores = torch.arange(18.0).reshape(2, 3, 3)
    expected = [[[1, 2], [3, 5], [6, 7]], [[10, 11], [12, 14], [15, 16]]]
    assert off_diagonal(scores).tolist() == expected
    positive, negative = positives_and_negatives(scores)
    assert positive.tolist() == [[0, 4, 8], [9, 13, 17]]
    assert negative.tolist() == [[1, 2, 3, 5, 6, 7], [10, 11, 12, 14, 15, 16]]


# Two rows with scores of which the exponentials are whole numbers.
SCORES = torch.tensor([[3.0, 2.0], [1.0, 6.0]], dtype=torch.float64).log()


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        # sigma(log a) = a / (1 + a), and 1 - sigma(log a) = 1 / (1 + a)
        (jsd_score, (math.log(3 / 4 * 6 / 7) + math.log(1 / 3 * 1 / 2)) / 2),
        (infonce_bound, math.log(2) + (math.log(3 / 4) + math.log(6 / 8)) / 2),
        (dv_bound, math.log(18) / 2 - math.log(3 / 2)),
        (nwj_bound, math.log(18) / 2 - 3 / 2 / math.e),
    ],
)
def test_worked_example(bound, expected):
    found = bound(SCORES)
    assert found.shape == ()
    assert float(found) == pytest.approx(expected)


# Their exponentials are 3 and 6; 1, 2 and 2.
POSITIVE = torch.tensor([3.0, 6.0], dtype=torch.float64).log()
NEGATIVE = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64).log()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (discriminator_loss, -math.log(3 / 4 * 6 / 7) / 2 + math.log(2 * 3 * 3) / 3),
        (nwj_of_pairs, math.log(18) / 2 - 5 / 3 / math.e),
    ],
)
def test_pairs_may_be_more_of_one_kind_than_of_the_other(function, expected):
    assert float(function(POSITIVE, NEGATIVE)) == pytest.approx(expected)
    pairs = POSITIVE.clone().requires_grad_(), NEGATIVE.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, pairs)


def test_worked_example_of_all_locations():
    scores = torch.stack([SCORES, torch.zeros_like(SCORES)])
    # Negatives of column 0: 1 and 1; of column 1: 2 and 1; so that shares are
    shares = [3 / 5, 6 / 9, 1 / 3, 1 / 4]
    expected = math.log(3) + sum(math.log(share) for share in shares) / 4
    assert float(infonce_all_locations_score(scores)) == pytest.approx(expected)


@every_bound
@pytest.mark.parametrize("n", [2, 3, 8])
def test_bounds_equal_the_naive_loop(bound, n, device):
    scores = normal(n, n, seed=n)
    expected = naive_bound(bound, scores.tolist())
    assert float(bound(scores.to(device))) == pytest.approx(expected)


@every_bound
def test_bound_of_locations_is_the_mean_of_theirs(bound, device):
    scores = normal(4, 5, 5)
    expected = mean(naive_bound(bound, location) for location in scores.tolist())
    assert float(bound(scores.to(device))) == pytest.approx(expected)


@pytest.mark.parametrize(("m", "n"), [(1, 4), (3, 2), (4, 5)])
def test_score_of_all_locations_equals_the_naive_loop(m, n, device):
    scores = normal(m, n, n)
    found = infonce_all_locations_score(scores.to(device))
    assert float(found) == pytest.approx(naive_all_locations(scores.tolist()))


def test_all_locations_of_a_single_one_are_infonce():
    scores = normal(1, 6, 6)
    torch.testing.assert_close(
        infonce_all_locations_score(scores), infonce_bound(scores)
    )


@every_function
def test_order_of_rows_and_of_locations_does_not_matter(function):
    scores = normal(3, 5, 5)
    order = torch.tensor([3, 0, 4, 2, 1])
    permuted = scores[[2, 0, 1]][:, order][:, :, order]
    torch.testing.assert_close(function(permuted), function(scores))


@pytest.mark.parametrize(
    "function", [infonce_bound, dv_bound, infonce_all_locations_score]
)
def test_level_of_the_scores_does_not_matter(function):
    scores = normal(3, 5, 5)
    torch.testing.assert_close(function(scores + 7), function(scores))


@pytest.mark.parametrize("function", [infonce_bound, infonce_all_locations_score])
def test_level_of_each_y_does_not_matter_to_infonce(function):
    scores = normal(3, 5, 5)
    torch.testing.assert_close(function(scores + normal(5, seed=1)), function(scores))


@pytest.mark.parametrize("bound", [jsd_score, dv_bound, nwj_bound])
def test_naming_x_and_y_the_other_way_round_does_not_matter(bound):
    scores = normal(3, 5, 5)
    torch.testing.assert_close(bound(scores.mT), bound(scores))


@every_function
@pytest.mark.parametrize("n", [1, 2, 4])
def test_gradients_are_those_of_finite_differences(function, n):
    scores = normal(2, n, n).requires_grad_()
    assert torch.autograd.gradcheck(function, scores)


@every_function
@pytest.mark.parametrize("n", [2, 9])
def test_scores_that_know_nothing(function, n):
    nothing = {jsd_score: -2 * math.log(2), nwj_bound: -1 / math.e}
    found = function(torch.zeros(3, n, n))
    assert float(found) == pytest.approx(nothing.get(function, 0.0), abs=1e-6)


def test_constant_of_nwj_at_which_nothing_is_known_is_one():
    assert float(nwj_bound(torch.ones(5, 5))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 50])
@pytest.mark.parametrize("factor", [1.0, 1e4])
def test_infonce_is_at_most_the_logarithm_of_its_candidates(n, factor):
    for scores in (normal(3, n, n), torch.eye(n).double().expand(3, n, n)):
        assert infonce_bound(factor * scores) <= math.log(n) + 1e-12
        all_locations = infonce_all_locations_score(factor * scores)
        assert all_locations <= math.log(1 + 3 * (n - 1)) + 1e-12
    perfect = factor * 1e3 * torch.eye(n).double()
    assert float(infonce_bound(perfect)) == pytest.approx(math.log(n))


def test_jensen_shannon_score_is_at_most_zero():
    assert jsd_score(normal(9, 9)) < 0
    perfect = 2 * torch.eye(9) - 1
    assert float(jsd_score(1e3 * perfect)) == 0


# extremes


@every_function
@pytest.mark.parametrize("n", [1, 2, 64])
def test_extreme_scores_stay_finite(function, n, device):
    signs = normal(3, n, n).sign().float()
    eye = torch.eye(n).expand(3, n, n)
    for scores in (signs, eye, -eye, 1 - eye, 2 * eye - 1, 1 - 2 * eye, eye**0):
        for far in (100.0, 1e4, -1e4):
            T = (far * scores).to(device).requires_grad_()
            value = function(T)
            value.backward()
            assert torch.isfinite(value)
            assert torch.isfinite(T.grad).all()


@every_function
def test_one_row_counts_as_scores_of_zero_without_gradient(function, device):
    for shape in [(1, 1, 1), (5, 1, 1)]:
        scores = (1e4 * normal(*shape)).float().to(device).requires_grad_()
        found = function(scores)
        found.backward()
        torch.testing.assert_close(found, function(0 * scores))
        assert (scores.grad == 0).all()


@every_bound
def test_one_row_without_locations_is_taken(bound):
    assert torch.isfinite(bound(torch.tensor([[3.0]])))


def test_nwj_goes_on_as_a_tangent_and_still_draws_scores_back(device):
    def value_and_slope(height):
        T = torch.full((2, 2), height, dtype=torch.float64, device=device)
        T.requires_grad_()
        value = nwj_bound(T)
        value.backward()
        return value.item(), T.grad[0, 1].item()

    for height in (0.0, 5.0, 20.9):
        value, slope = value_and_slope(height)
        assert value == pytest.approx(height - math.exp(height - 1))
        assert slope == pytest.approx(-math.exp(height - 1) / 2)
    for height in (21.5, 30.0, 1e4):
        value, slope = value_and_slope(height)
        tangent = math.exp(20) * (1 + height - 21)
        assert value == pytest.approx(height - tangent)
        assert slope == pytest.approx(-math.exp(20) / 2)


@every_function
@pytest.mark.parametrize("shape", [(4, 6), (2, 4, 3), (4,)])
def test_scores_of_unequal_numbers_are_refused(function, shape):
    with pytest.raises(ValueError, match=r"scores must have shape \(..., n, n\). Got"):
        function(torch.zeros(shape))


# what they bound


def gaussian_log_ratio(rho, n, seed=0):
    """Scores of the best critic for two Gaussian variables with correlation rho."""
    x, noise = normal(2, n, seed=seed)
    y = rho * x + math.sqrt(1 - rho**2) * noise
    x, y = x[:, None], y[None]
    quadratic = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
    return -0.5 * math.log(1 - rho**2) - quadratic


CORRELATIONS = [0.0, 0.5, -0.8, 0.9]
every_correlation = pytest.mark.parametrize("rho", CORRELATIONS)


@every_correlation
@pytest.mark.parametrize("bound", [infonce_bound, dv_bound, nwj_bound])
def test_bounds_of_the_best_critic_are_the_mutual_information_of_gaussians(bound, rho):
    information = -0.5 * math.log(1 - rho**2)
    scores = gaussian_log_ratio(rho, n=2000)
    best = scores + 1 if bound is nwj_bound else scores
    assert float(bound(best)) == pytest.approx(information, abs=0.05)


@every_correlation
def test_score_of_the_best_critic_is_the_jensen_shannon_divergence(rho):
    grid = torch.linspace(-7, 7, 701, dtype=torch.float64)
    x, y = grid[:, None], grid[None]
    area = (grid[1] - grid[0]) ** 2
    q = torch.exp(-(x**2 + y**2) / 2) / (2 * math.pi) * area
    root = math.sqrt(1 - rho**2)
    p = torch.exp(-(x**2 + y**2 - 2 * rho * x * y) / (2 * root**2))
    p = p / (2 * math.pi * root) * area
    middle = (p + q) / 2
    divergence = float((p * (p / middle).log() + q * (q / middle).log()).sum() / 2)
    found = float(jsd_score(gaussian_log_ratio(rho, n=2000)))
    assert (found + 2 * math.log(2)) / 2 == pytest.approx(divergence, abs=0.01)


@every_bound
def test_other_critics_find_less(bound):
    scores = gaussian_log_ratio(0.9, n=1000)
    scores = scores + 1 if bound is nwj_bound else scores
    best = bound(scores)
    others = [0 * scores, -scores, 0.5 * scores, 1.5 * scores, scores + scores.sin()]
    assert all(bound(other) < best for other in others)


def test_infonce_saturates_and_the_others_do_not():
    scores = gaussian_log_ratio(0.9999, n=40)
    assert -0.5 * math.log(1 - 0.9999**2) > 4.2
    assert infonce_bound(scores) < math.log(40) < dv_bound(scores)


def test_names_lead_to_the_functions_and_what_they_estimate():
    functions = {name: found for name, (found, _) in MUTUAL_INFORMATION_BOUNDS.items()}
    assert functions == {
        "jsd": jsd_score,
        "infonce": infonce_bound,
        "dv": dv_bound,
        "nwj": nwj_bound,
    }
    for name, (_, quantity) in MUTUAL_INFORMATION_BOUNDS.items():
        assert ("bound in nats" in quantity) == (name != "jsd")


# the corrected gradient of Donsker and Varadhan


def test_first_batch_has_the_plain_gradient_and_begins_the_running_mean():
    positive, negative = normal(5).requires_grad_(), normal(9, seed=1).requires_grad_()
    loss, running = dv_corrected_loss(positive, negative)
    plain = log_mean_exp(negative) - positive.mean()
    torch.testing.assert_close(loss, plain)
    for found, expected in zip(
        torch.autograd.grad(loss, (positive, negative)),
        torch.autograd.grad(plain, (positive, negative)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
    assert not running.requires_grad
    assert float(running) == pytest.approx(math.log(negative.detach().exp().mean()))


def test_worked_example_of_the_running_mean():
    negative = torch.tensor([2.0, 6.0]).log().requires_grad_()
    positive = torch.tensor([0.0, 1.0], requires_grad=True)
    # e^T has mean 4 here and 12 before: 3/4 of 12 and 1/4 of 4 are 10.
    loss, running = dv_corrected_loss(
        positive, negative, torch.tensor(12.0).log(), rate=0.25
    )
    assert float(running) == pytest.approx(math.log(10))
    assert loss.item() == pytest.approx(math.log(4) - 0.5)
    loss.backward()
    expected = torch.tensor([2.0, 6.0]) / 2 / 10  # e^T / k over the running mean
    torch.testing.assert_close(negative.grad, expected)
    torch.testing.assert_close(positive.grad, torch.full((2,), -0.5))


def test_running_mean_over_batches_is_that_of_a_loop():
    expected, running = None, None
    for seed in range(20):
        negative = normal(6, seed=seed)
        present = float(negative.exp().mean())
        expected = present if expected is None else 0.9 * expected + 0.1 * present
        _, running = dv_corrected_loss(negative, negative, running, rate=0.1)
    assert float(running) == pytest.approx(math.log(expected))


def test_locations_have_running_means_of_their_own():
    positive, negative = normal(3, 5), normal(3, 9, seed=1)
    start = normal(3, seed=2)
    loss, running = dv_corrected_loss(positive, negative, start)
    parts = [dv_corrected_loss(positive[k], negative[k], start[k]) for k in range(3)]
    torch.testing.assert_close(loss, torch.stack([part[0] for part in parts]).mean())
    torch.testing.assert_close(running, torch.stack([part[1] for part in parts]))


def test_correction_removes_the_bias_of_small_batches():
    # T = a x with x standard normal: the gradient of log E[e^T] in a is a. A batch of
    # four finds less; with the mean of e^T known, the mean over batches is right.
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    negative = a * normal(20_000, 4)
    zeros = torch.zeros(20_000, 1, dtype=torch.float64)
    known = torch.full((20_000,), 0.5, dtype=torch.float64)
    plain, _ = dv_corrected_loss(zeros, negative)
    corrected, _ = dv_corrected_loss(zeros, negative, known, rate=1e-9)
    (biased,) = torch.autograd.grad(plain, a, retain_graph=True)
    (unbiased,) = torch.autograd.grad(corrected, a)
    assert biased < 0.8
    assert float(unbiased) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("height", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("before", [None, -1e4, 0.0, 1e4])
def test_corrected_loss_stays_finite(height, before, device):
    positive = torch.full((3,), height, device=device, requires_grad=True)
    negative = torch.full((4,), height, device=device, requires_grad=True)
    running = None if before is None else torch.tensor(before, device=device)
    loss, running = dv_corrected_loss(positive, negative, running)
    loss.backward()
    for tensor in (loss, running, positive.grad, negative.grad):
        assert torch.isfinite(tensor).all()
    assert negative.grad.abs().sum() <= 100 * (1 + 1e-2)


def test_rate_one_is_the_plain_bound():
    positive, negative = POSITIVE, NEGATIVE.clone().requires_grad_()
    loss, running = dv_corrected_loss(positive, negative, torch.tensor(9.0), rate=1.0)
    plain = log_mean_exp(negative) - positive.mean()
    torch.testing.assert_close(loss, plain)
    assert torch.equal(running, log_mean_exp(negative).detach())
    gradients = (torch.autograd.grad(f, negative)[0] for f in (loss, plain))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, math.nan])
def test_rates_that_are_no_share_are_refused(rate):
    with pytest.raises(ValueError, match=rf"rate must be in \(0, 1\]. Got {rate}"):
        dv_corrected_loss(POSITIVE, NEGATIVE, torch.tensor(0.0), rate)


def test_corrected_loss_needs_negative_pairs():
    with pytest.raises(ValueError, match=r"negative must hold .* Got shape \(0,\)"):
        dv_corrected_loss(POSITIVE, NEGATIVE[:0])
