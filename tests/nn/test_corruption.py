import pytest
import torch
from torch import Generator

from skdeep.nn.corruption import masked


def rows(device, shape=(200, 100)):
    return 1 + torch.rand(*shape, generator=Generator().manual_seed(0)).to(device)


def generator(device, seed=0):
    return Generator(device).manual_seed(seed)


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
