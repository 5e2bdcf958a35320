import math

import pytest
import torch

from skdeep.objectives.reconstruction import (
    MANY_NUMBERS,
    RECONSTRUCTIONS,
    cross_entropy_per_sample,
    identity,
    squared_error,
    squared_error_in_place,
    squared_error_per_sample,
)

LOSSES = [squared_error_per_sample, cross_entropy_per_sample]
every_loss = pytest.mark.parametrize("loss", LOSSES)
every_name = pytest.mark.parametrize("name", RECONSTRUCTIONS)


def output_and_rows(n=5, n_features=3):
    rng = torch.Generator().manual_seed(0)
    output = torch.randn(n, n_features, generator=rng, dtype=torch.float64)
    x = torch.rand(n, n_features, generator=rng, dtype=torch.float64)
    return output, x


def naive_loss(loss, output, x):
    rows = []
    for output_row, row in zip(output.tolist(), x.tolist(), strict=True):
        total = 0.0
        for o, value in zip(output_row, row, strict=True):
            if loss is squared_error_per_sample:
                total += (o - value) ** 2
            else:
                share = 1 / (1 + math.exp(-o))
                total -= value * math.log(share) + (1 - value) * math.log(1 - share)
        rows.append(total / len(row))
    return torch.tensor(rows, dtype=torch.float64)


def test_worked_example_of_the_squared_error():
    output = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    x = torch.tensor([[1.0, 4.0], [3.0, 4.0]])
    found = squared_error_per_sample(output, x)
    torch.testing.assert_close(found, torch.tensor([2.0, 12.5]))


def test_worked_example_of_the_cross_entropy():
    output = torch.tensor([[0.0, 0.0], [math.log(3), -math.log(3)]])
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0]])  # probabilities 1/2; 3/4 and 1/4
    expected = [math.log(2), -(math.log(3 / 4) + math.log(1 / 4)) / 2]
    found = cross_entropy_per_sample(output, x)
    torch.testing.assert_close(found, torch.tensor(expected))


@every_loss
def test_losses_equal_the_naive_loop(loss, device):
    output, x = output_and_rows()
    found = loss(output.to(device), x.to(device)).cpu()
    torch.testing.assert_close(found, naive_loss(loss, output, x))


@every_loss
def test_losses_do_not_depend_on_the_order_of_columns(loss):
    output, x = output_and_rows()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(loss(output[:, order], x[:, order]), loss(output, x))


@every_loss
def test_losses_do_not_depend_on_the_width_of_a_table(loss):
    output, x = output_and_rows()
    repeated = loss(output.repeat(1, 4), x.repeat(1, 4))
    torch.testing.assert_close(repeated, loss(output, x))


@every_loss
def test_losses_of_a_row_do_not_depend_on_other_rows(loss):
    output, x = output_and_rows()
    torch.testing.assert_close(loss(output[2:3], x[2:3]), loss(output, x)[2:3])


def test_squared_error_does_not_depend_on_the_origin():
    output, x = output_and_rows()
    torch.testing.assert_close(
        squared_error_per_sample(output + 5, x + 5), squared_error_per_sample(output, x)
    )


def test_cross_entropy_of_the_opposite_is_the_same():
    output, x = output_and_rows()
    torch.testing.assert_close(
        cross_entropy_per_sample(-output, 1 - x), cross_entropy_per_sample(output, x)
    )


@every_loss
def test_gradients_are_those_of_finite_differences(loss):
    output, x = output_and_rows()
    assert torch.autograd.gradcheck(lambda o: loss(o, x), output.requires_grad_())


@every_name
def test_loss_is_the_mean_of_its_rows(name, device):
    output, x = (tensor.to(device) for tensor in output_and_rows())
    loss, per_sample, _ = RECONSTRUCTIONS[name]
    found = loss(output.clone(), x)
    assert found.shape == ()
    torch.testing.assert_close(found, per_sample(output, x).mean())


@every_name
def test_loss_of_entries_out_of_range_is_the_mean_of_its_rows_too(name):
    output, x = output_and_rows()
    output, x = 40 * output, 9 * x - 4
    loss, per_sample, _ = RECONSTRUCTIONS[name]
    expected = per_sample(output, x).mean()
    assert expected > 0
    torch.testing.assert_close(loss(output, x), expected)


@every_name
def test_gradient_of_the_mean_is_that_of_finite_differences(name):
    output, x = output_and_rows()
    loss = RECONSTRUCTIONS[name].loss
    leaf = output.clone().requires_grad_()
    (found,) = torch.autograd.grad(3 * loss(leaf.clone(), x), leaf)
    step = 1e-6
    for place in range(output.numel()):
        moved = torch.zeros_like(output)
        moved.view(-1)[place] = step
        slope = (loss(output + moved, x) - loss(output - moved, x)) / (2 * step)
        torch.testing.assert_close(found.view(-1)[place], 3 * slope)


def test_squared_error_leaves_its_arguments_alone():
    output, x = output_and_rows()
    before = output.clone(), x.clone()
    squared_error(output.requires_grad_(), x).backward()
    torch.testing.assert_close((output.detach(), x), before, rtol=0, atol=0)


def test_squared_error_has_a_gradient_by_either_argument():
    output, x = output_and_rows()
    for leaf, other in ((output, x), (x, output)):
        leaf.requires_grad_()
        for arguments in ((leaf, other), (other, leaf)):
            (found,) = torch.autograd.grad(3 * squared_error(*arguments), leaf)
            torch.testing.assert_close(found, 6 * (leaf - other) / leaf.numel())
        leaf.requires_grad_(False)
    inputs = output.requires_grad_(), x.requires_grad_()
    found = torch.autograd.grad(squared_error(*inputs), inputs)
    torch.testing.assert_close(found[0], -found[1])


def test_squared_error_in_place_of_many_numbers_goes_back_once_where_they_were():
    output, x = output_and_rows(MANY_NUMBERS // 8, 8)
    leaf, before = output.clone().requires_grad_(), x.clone()
    expected = squared_error(leaf, x)
    (slope,) = torch.autograd.grad(3 * expected, leaf)
    lost = leaf.clone()
    found = squared_error_in_place(lost, x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(lost.detach(), output - x, rtol=0, atol=0)
    loss = 3 * found
    (gradient,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    torch.testing.assert_close(gradient, slope)
    torch.testing.assert_close(lost.detach(), slope)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("loss", [squared_error, squared_error_in_place])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 2), ()])
def test_squared_error_broadcasts_nothing(loss, shape):
    with pytest.raises(ValueError, match=r"output and x must.*Got \(4, 1\) and \("):
        loss(torch.zeros(4, 1), torch.zeros(shape))


def test_squared_error_takes_any_layout():
    output, x = (t.repeat(2, 4).view(2, 3, 2, 10) for t in output_and_rows())
    found = squared_error(output.contiguous(memory_format=torch.channels_last), x)
    torch.testing.assert_close(found, (output - x).square().mean())


@every_name
def test_mean_of_extreme_outputs_stays_finite(name, device):
    output = torch.tensor([[1e8, -1e8]], device=device, requires_grad=True)
    found = RECONSTRUCTIONS[name].loss(output, torch.tensor([[0.0, 1.0]]).to(device))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(output.grad).all()


@every_name
def test_loss_is_least_where_the_map_of_the_output_is_the_data(name):
    _, loss, output_map = RECONSTRUCTIONS[name]
    _, x = output_and_rows()
    best = x if output_map is identity else torch.logit(x)
    torch.testing.assert_close(output_map(best), x)
    best = best.detach().requires_grad_()
    least = loss(best, x)
    (gradient,) = torch.autograd.grad(least.sum(), best)
    torch.testing.assert_close(gradient, torch.zeros_like(x), rtol=0, atol=1e-12)
    assert (loss(best + 0.1, x) > least).all()
    assert (loss(best - 0.1, x) > least).all()


@every_loss
@pytest.mark.parametrize("far", [1e2, 1e4, 1e8])
def test_extreme_outputs_stay_finite(loss, far, device):
    output = torch.tensor([[far, -far], [-far, far]], device=device)
    output.requires_grad_()
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]], device=device)
    found = loss(output, x)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(output.grad).all()


def test_cross_entropy_of_confident_outputs_is_zero_or_their_size():
    output = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    found = cross_entropy_per_sample(output, x)
    torch.testing.assert_close(found, torch.tensor([0.0, 1e4]))


def test_cross_entropy_outside_of_its_range_grows_by_the_distance():
    output = torch.tensor([[0.0, 2.0]])
    bound = cross_entropy_per_sample(output, torch.tensor([[0.0, 1.0]]))
    beyond = cross_entropy_per_sample(output, torch.tensor([[-3.0, 2.0]]))
    torch.testing.assert_close(beyond, bound + (3 + 1) / 2)
