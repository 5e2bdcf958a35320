import pytest
import torch
from torch import Generator

from skdeep.nn.corruption import MarginalCorruption, corrupted, masked


def rows(device, shape=(200, 100)):
    return 1 + torch.rand(*shape, generator=Generator().manual_seed(0)).to(device)


def generator(device, seed=0):
    return Generator(device).manual_seed(seed)


def normal(device, shape):
    return torch.randn(shape, generator=Generator().manual_seed(1)).to(device)


# zeros


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9])
def test_fraction_of_the_entries_is_zero(fraction, device):
    x = rows(device)
    found = masked(x, fraction, generator(device))
    share = float((found == 0).float().mean())
    deviation = (fraction * (1 - fraction) / x.numel()) ** 0.5
    assert abs(share - fraction) < 4 * deviation


def test_other_entries_are_kept(device):
    x = rows(device)
    before = x.clone()
    found = masked(x, 0.3, generator(device))
    kept = found != 0
    assert torch.equal(found[kept], x[kept])
    assert torch.equal(x, before)


def test_each_row_and_each_column_is_masked_on_its_own(device):
    zero = (masked(rows(device), 0.5, generator(device)) == 0).float()
    assert zero.mean(0).std() > 0
    assert zero.mean(1).std() > 0
    assert 0.3 < zero.mean(0).min() < zero.mean(0).max() < 0.7


def test_fraction_zero_is_the_identity_and_draws_nothing(device):
    x, rng = rows(device), generator(device)
    before = rng.get_state()
    assert masked(x, 0.0, rng) is x
    assert torch.equal(rng.get_state(), before)


def test_mask_depends_on_the_generator_alone(device):
    x = rows(device)
    before = torch.get_rng_state()
    first = masked(x, 0.5, generator(device, 3))
    assert torch.equal(first, masked(x, 0.5, generator(device, 3)))
    assert not torch.equal(first, masked(x, 0.5, generator(device, 4)))
    assert torch.equal(before, torch.get_rng_state())


def test_successive_masks_differ(device):
    x, rng = rows(device), generator(device)
    assert not torch.equal(masked(x, 0.5, rng), masked(x, 0.5, rng))


# tables


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6, 0.9])
def test_cells_are_replaced_at_the_rate_that_was_asked_for(rate, device):
    x = normal(device, (500, 40))
    donors = 100 + normal(device, (70, 40))
    replaced = corrupted(x, donors, rate, generator(device)) > 50
    share = float(replaced.float().mean())
    assert abs(share - rate) < 4 * (rate * (1 - rate) / x.numel()) ** 0.5


def test_new_values_come_from_the_same_column_of_the_donors(device):
    donors = torch.arange(30.0, device=device).view(10, 3)
    x = torch.full((4000, 3), -1.0, device=device)
    found = corrupted(x, donors, 0.5, generator(device))
    for j in range(3):
        (kept, *values), counts = found[:, j].unique(return_counts=True)
        assert kept == -1
        assert torch.equal(torch.stack(values), donors[:, j])
        assert counts.min() > 130  # of about 200 each


def test_each_cell_has_a_row_of_its_own(device):
    donors = torch.arange(1000.0, device=device).unsqueeze(1).expand(-1, 5)
    found = corrupted(donors[:200], donors, 1.0, generator(device))
    assert torch.all(found.std(1) > 0)


def test_whole_rows_are_replaced_at_the_rate_to_the_power_of_the_columns(device):
    x = torch.zeros(4000, 2, device=device)
    found = corrupted(x, x + 1, 0.5, generator(device))
    assert 900 < found.all(1).sum() < 1100


def test_rate_zero_is_the_identity_and_draws_nothing(device):
    x, rng = normal(device, (6, 4)), generator(device)
    before = rng.get_state()
    assert corrupted(x, x, 0.0, rng) is x
    assert torch.equal(rng.get_state(), before)


def test_rate_one_replaces_every_cell(device):
    x = normal(device, (50, 4))
    assert corrupted(x, x + 100, 1.0, generator(device)).min() > 50


@pytest.mark.parametrize("n_donors", [1, 3, 100])
def test_any_number_of_donors_will_do(n_donors, device):
    x = normal(device, (20, 4))
    donors = normal(device, (n_donors, 4))
    assert corrupted(x, donors, 0.5, generator(device)).shape == x.shape


def test_bound_corruption_is_an_augmentation(device):
    x = normal(device, (20, 4))
    augment = MarginalCorruption(0.4).on(x + 100)
    before = torch.get_rng_state()
    found = augment(x, generator(device))
    expected = corrupted(x, x + 100, 0.4, generator(device))
    assert torch.equal(found, expected)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("rate", [-0.1, 1.1, None, False])
def test_a_rate_out_of_range_raises(rate):
    with pytest.raises(ValueError, match=r"'rate'.*MarginalCorruption.*\[0, 1\]. Got"):
        MarginalCorruption(rate)


@pytest.mark.parametrize("shape", [(6, 4), (6, 1), (6,), (2, 3, 5)])
def test_rows_of_other_columns_than_the_donors_are_refused(shape):
    augment = MarginalCorruption(0.5).on(torch.zeros(6, 5))
    with pytest.raises(ValueError, match="takes values of 5 columns"):
        augment(torch.zeros(shape), Generator())
