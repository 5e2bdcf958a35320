import math
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator, clone
from torch import Generator
from torch.nn import functional as F

from skdeep.nn.augmentation import (
    PHOTOGRAPHS,
    ImageAugmentation,
    MarginalCorruption,
    affine_maps,
    background,
    blurred,
    erased,
    moved,
    recolored,
)

OFF = ImageAugmentation(shift=0.0, rotation=0.0, scale=0.0)

# Every strength alone, and all of them at once.
ALONE = {
    "shift": replace(OFF, shift=0.3),
    "rotation": replace(OFF, rotation=40.0),
    "scale": replace(OFF, scale=0.5),
    "crop": replace(OFF, crop=0.3),
    "flip": replace(OFF, flip=True),
    "brightness": replace(OFF, brightness=0.5),
    "contrast": replace(OFF, contrast=0.5),
    "saturation": replace(OFF, saturation=0.5),
    "grey": replace(OFF, grey=0.5),
    "blur": replace(OFF, blur=1.5),
    "erase": replace(OFF, erase=0.9),
}
ALL = replace(PHOTOGRAPHS, shift=0.1, rotation=9.0, scale=0.2, blur=1.0, erase=0.5)

every_strength = pytest.mark.parametrize("augment", ALONE.values(), ids=ALONE)


def generator(device, seed=0):
    return Generator(device).manual_seed(seed)


def images(device, shape=(6, 3, 8, 10), dtype=torch.float32):
    return torch.randn(shape, generator=Generator().manual_seed(1), dtype=dtype).to(
        device
    )


def same(x, value=0.0):
    return torch.full((len(x),), value, dtype=x.dtype, device=x.device)


def moved_by(x, shift=(0.0, 0.0), angle=0.0, side=(1.0, 1.0), center=(0.0, 0.0)):
    """All images alike: shift and centre in pixels, the angle in degrees."""
    height, width = x.shape[2:]
    half = torch.tensor([width / 2, height / 2], dtype=x.dtype, device=x.device)
    shift, side, center = (
        torch.tensor(pair, dtype=x.dtype, device=x.device).expand(len(x), 2)
        for pair in (shift, side, center)
    )
    angle = same(x, math.radians(angle))
    return moved(
        x, affine_maps(shift / half, angle, side, center / half, height / width)
    )


# geometry


def test_positions_are_those_of_affine_grid(device):
    x = images(device)
    maps = torch.randn(6, 2, 3, generator=generator("cpu")).to(device)
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    expected = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(moved(x, maps), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 1), (2, -3), (-1, 2)])
def test_shift_moves_right_and_down_by_whole_pixels(right, down, device):
    x = images(device, dtype=torch.float64)
    found = moved_by(x, shift=(right, down))
    rolled = torch.roll(x, (down, right), (2, 3))
    inner = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(found[inner], rolled[inner])


def test_outermost_pixels_go_on_beyond_the_edge(device):
    x = images(device, dtype=torch.float64)
    found = moved_by(x, shift=(2, 0))
    torch.testing.assert_close(found[..., :2], x[..., :1].expand(-1, -1, -1, 2))


@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_rotation_is_counter_clockwise(turns, device):
    x = images(device, (4, 2, 9, 9), torch.float64)
    found = moved_by(x, angle=90 * turns)
    torch.testing.assert_close(found, torch.rot90(x, turns, (2, 3)))


def test_rotation_keeps_shapes_in_images_that_are_not_square(device):
    # A square in the middle of a wide image turns into itself, not into a rectangle.
    x = torch.zeros(1, 1, 8, 16, dtype=torch.float64, device=device)
    x[..., 2:6, 6:10] = images(device, (1, 1, 4, 4), torch.float64)
    expected = torch.zeros_like(x)
    expected[..., 2:6, 6:10] = torch.rot90(x[..., 2:6, 6:10], 1, (2, 3))
    torch.testing.assert_close(moved_by(x, angle=90), expected)


def test_negative_side_mirrors(device):
    x = images(device, dtype=torch.float64)
    torch.testing.assert_close(moved_by(x, side=(-1.0, 1.0)), torch.flip(x, (3,)))
    torch.testing.assert_close(moved_by(x, side=(1.0, -1.0)), torch.flip(x, (2,)))


def test_crop_stretches_a_part_of_the_image(device):
    x = images(device, (2, 1, 8, 8), torch.float64)
    # Around a quarter of the image, and a centre two pixels to the right and down.
    found = moved_by(x, side=(0.5, 0.5), center=(2.0, 2.0))
    expected = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 9:15, 9:15])


def test_side_of_two_halves_the_image(device):
    x = images(device, (2, 1, 8, 8), torch.float64)
    found = moved_by(x, side=(2.0, 2.0))
    torch.testing.assert_close(found[..., 2:6, 2:6], F.avg_pool2d(x, 2))


def test_crop_is_stretched_before_it_is_rotated_and_shifted_last(device):
    x = images(device, (2, 1, 9, 9), torch.float64)
    found = moved_by(x, shift=(2.0, 0.0), angle=90.0, side=(-1.0, 1.0))
    expected = torch.roll(torch.rot90(torch.flip(x, (3,)), 1, (2, 3)), 2, 3)
    torch.testing.assert_close(found[..., 2:], expected[..., 2:])


def test_half_of_the_images_are_mirrored(device):
    x = images(device, (400, 1, 2, 3))
    found = ALONE["flip"](x, generator(device))
    mirrored = torch.isclose(found, torch.flip(x, (3,)), atol=1e-5).all((1, 2, 3))
    kept = torch.isclose(found, x, atol=1e-5).all((1, 2, 3))
    assert torch.all(mirrored ^ kept)
    assert 160 < mirrored.sum() < 240


def positions_taken(augment, device, n=2000):
    """Where the corners of (-1, 1)^2 come from, of n images: (n, H, W, 2)."""
    line = torch.linspace(-7 / 8, 7 / 8, 8, device=device)
    down, across = torch.meshgrid(line, line, indexing="ij")
    x = torch.stack([across, down]).expand(n, -1, -1, -1)
    return augment(x, generator(device)).permute(0, 2, 3, 1)


def test_shift_is_at_most_its_share_of_the_side(device):
    taken = positions_taken(replace(OFF, shift=0.125), device)
    # In the middle nothing is cut off by the edge; the side is 2 long.
    moves = taken[:, 3:5, 3:5].mean((1, 2)) / 2
    assert moves.abs().max() <= 0.125 + 1e-6
    assert torch.all(moves.max(0).values > 0.12)
    assert torch.all(moves.min(0).values < -0.12)
    assert torch.all(moves.mean(0).abs() < 0.01)
    assert torch.corrcoef(moves.T)[0, 1].abs() < 0.1


def test_rotation_is_at_most_its_angle_in_both_directions(device):
    taken = positions_taken(replace(OFF, rotation=20.0), device)
    steps = taken[:, 4, 4] - taken[:, 4, 3]
    degrees = torch.rad2deg(torch.atan2(steps[:, 1], steps[:, 0]))
    assert 19 < degrees.max() <= 20.001
    assert -20.001 <= degrees.min() < -19


def test_scale_is_at_most_its_share_up_and_down(device):
    taken = positions_taken(replace(OFF, scale=0.2), device)
    size = 0.25 / (taken[:, 4, 4, 0] - taken[:, 4, 3, 0])
    assert 1.19 < size.max() <= 1.2001
    assert 0.7999 <= size.min() < 0.81


def test_crop_keeps_at_least_its_share_of_the_area_inside_the_image(device):
    taken = positions_taken(replace(OFF, crop=0.25), device)
    sides = (taken[:, 4, 4] - taken[:, 3, 3]) / 0.25
    area = sides.prod(1)
    ratio = sides[:, 0] / sides[:, 1]
    assert 0.2499 <= area.min() < 0.3
    assert 0.9 < area.max() <= 1.0001
    assert 3 / 4 - 1e-3 <= ratio.min() < 0.8
    assert 1.25 < ratio.max() <= 4 / 3 + 1e-3
    center = taken[:, 3:5, 3:5].mean((1, 2))
    assert torch.all(center.abs() + sides <= 1 + 1e-4)


@pytest.mark.parametrize("crop", [0.6, 0.95])
def test_large_crops_keep_their_share_of_the_area_too(crop, device):
    taken = positions_taken(replace(OFF, crop=crop), device)
    sides = (taken[:, 4, 4] - taken[:, 3, 3]) / 0.25
    area = sides.prod(1)
    assert crop - 1e-4 <= area.min() < crop + 0.01
    # Shares of the area are uniform.
    assert area.mean() == pytest.approx((1 + crop) / 2, abs=0.01)
    assert sides.max() <= 1.0001


# colour


def test_recoloring_is_its_formula(device):
    x = images(device, dtype=torch.float64)
    b, c, s = (torch.rand(3, 6, generator=generator("cpu")).to(x) * 2).unbind()
    found = recolored(x, b, c, s)
    for i in range(6):
        grey = x[i].mean(0)
        mean, deviation = x[i].mean(), x[i].std(correction=0)
        for channel in range(3):
            saturated = grey + s[i] * (x[i, channel] - grey)
            expected = mean + b[i] * deviation + c[i] * (saturated - mean)
            torch.testing.assert_close(found[i, channel], expected)


def test_neutral_strengths_change_no_color(device):
    x = images(device)
    torch.testing.assert_close(recolored(x, same(x), same(x, 1), same(x, 1)), x)


def test_saturation_and_grey_keep_images_of_one_channel(device):
    x = images(device, (6, 1, 8, 8))
    augment = replace(OFF, saturation=1.0, grey=0.5)
    torch.testing.assert_close(augment(x, generator(device)), x)


def test_grey_is_the_share_of_grey_images(device):
    x = images(device, (1000, 3, 2, 2))
    found = replace(OFF, grey=0.2)(x, generator(device))
    grey = (found - found.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-6
    assert 150 < grey.sum() < 250
    torch.testing.assert_close(found[~grey], x[~grey])
    torch.testing.assert_close(found.mean(1), x.mean(1))


def test_constant_images_keep_their_color(device):
    x = torch.full((4, 3, 5, 5), 0.3, device=device)
    augment = replace(OFF, brightness=1.0, contrast=1.0, saturation=1.0)
    torch.testing.assert_close(augment(x, generator(device)), x)


# blur


@pytest.mark.parametrize("shape", [(3, 2, 8, 11), (3, 1, 1, 1), (2, 1, 1, 9)])
def test_blur_is_that_of_scipy_with_a_deviation_per_image(shape, device):
    x = images(device, shape, torch.float64)
    deviation = torch.linspace(0.4, 1.6, len(x), dtype=x.dtype, device=device)
    found = blurred(x, deviation, radius=5)
    for i, image in enumerate(x.cpu().numpy()):
        expected = [
            gaussian_filter(channel, float(deviation[i]), mode="nearest", radius=5)
            for channel in image
        ]
        np.testing.assert_allclose(found[i].cpu(), np.stack(expected), atol=1e-12)


def test_blur_by_zero_is_the_identity(device):
    x = images(device)
    torch.testing.assert_close(blurred(x, same(x), radius=2), x)


def test_blur_keeps_constant_images(device):
    x = torch.full((4, 3, 5, 5), 0.3, device=device)
    torch.testing.assert_close(ALONE["blur"](x, generator(device)), x)


# erasure


def test_erased_rectangle_is_the_drawn_one(device):
    x = images(device, (1, 2, 8, 10))
    size = torch.tensor([[0.5, 0.3]], device=device)
    corner = torch.tensor([[0.25, 0.5]], device=device)
    found = erased(x, size, corner)
    changed = torch.zeros(8, 10, dtype=torch.bool, device=device)
    changed[2:6, 5:8] = True
    expected = background(x).expand_as(x)
    assert torch.equal(found[..., changed], expected[..., changed])
    assert torch.equal(found[..., ~changed], x[..., ~changed])


def test_background_is_the_median_of_the_edge(device):
    x = torch.zeros(1, 2, 5, 5, device=device)
    x[:, 1] = 3.0
    x[:, :, 1:4, 1:4] = 9.0
    x[:, :, 0, 2:4] = 9.0
    assert background(x).flatten().tolist() == [0.0, 3.0]


def test_erased_area_is_that_of_sides_drawn_up_to_the_largest(device):
    x = torch.zeros(4000, 1, 20, 20, device=device)
    x[:, :, 1:-1, 1:-1] = 1.0
    found = replace(OFF, erase=0.6)(x, generator(device))
    gone = (found != x).float()
    height = gone.amax(3).sum((1, 2))
    width = gone.amax(2).sum((1, 2))
    assert torch.equal(gone.sum((1, 2, 3)), height * width)  # rectangles
    assert 11 <= height.max() <= 12
    assert 11 <= width.max() <= 12
    # Sides are uniform on (0, 12), less what falls on the edge that is background.
    assert 0.075 < gone.mean() < 0.09
    assert gone.mean(0)[0, 1:-1, 1:-1].min() > 0.01


# the whole


def test_defaults_are_those_of_digits():
    chosen = {"shift": 0.125, "rotation": 15.0, "scale": 0.15}
    assert ImageAugmentation() == replace(OFF, **chosen)
    assert {f.name for f in fields(ImageAugmentation)} == set(ALONE)


def test_zero_strengths_are_the_identity_and_draw_nothing(device):
    x, rng = images(device), generator(device)
    before = rng.get_state()
    assert OFF(x, rng) is x
    assert torch.equal(rng.get_state(), before)


@every_strength
def test_each_strength_does_something(augment, device):
    x = images(device)
    assert not torch.allclose(augment(x, generator(device)), x, atol=1e-3)


@every_strength
def test_each_image_is_drawn_on_its_own(augment, device):
    x = images(device)[:1].expand(20, -1, -1, -1)
    found = augment(x, generator(device)).flatten(1)
    assert len(found.round(decimals=3).unique(dim=0)) > (
        1 if augment.flip or augment.grey else 10
    )


@pytest.mark.parametrize("augment", [*ALONE.values(), ALL])
def test_an_image_depends_on_its_own_pixels_alone(augment, device):
    x = images(device)
    other = x.clone()
    other[1:] = 7 * x[1:] + 1
    first, second = (augment(v, generator(device))[0] for v in (x, other))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("augment", [*ALONE.values(), ALL])
@pytest.mark.parametrize(("a", "b"), [(0.1, 0.0), (255.0, 30.0)])
def test_scaling_of_the_values_commutes_with_every_operation(augment, a, b, device):
    x = images(device, dtype=torch.float64)
    found = augment(a * x + b, generator(device))
    torch.testing.assert_close(found, a * augment(x, generator(device)) + b)


def test_images_stay_float32_where_that_is_not_the_default():
    x = torch.rand(4, 3, 8, 8, dtype=torch.float32)
    expected = ALL(x, Generator().manual_seed(0))
    torch.set_default_dtype(torch.float64)
    try:
        found = ALL(x, Generator().manual_seed(0))
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("augment", [ImageAugmentation(), PHOTOGRAPHS, ALL])
@pytest.mark.parametrize(
    "shape", [(0, 1, 4, 4), (1, 1, 1, 1), (1, 3, 5, 5), (7, 1, 4, 9), (3, 4, 1, 6)]
)
def test_shape_type_and_finiteness_are_kept(augment, shape, device):
    for dtype in (torch.float32, torch.float64):
        x = images(device, shape, dtype)
        before = x.clone()
        found = augment(x, generator(device))
        assert found.shape == shape
        assert found.dtype == dtype
        assert found.device == x.device
        assert torch.isfinite(found).all()
        assert torch.equal(x, before)


def test_images_of_one_pixel_are_kept(device):
    x = images(device, (5, 3, 1, 1))
    augment = replace(ImageAugmentation(), crop=0.3, flip=True, blur=2.0, erase=1.0)
    torch.testing.assert_close(augment(x, generator(device)), x)


def test_result_depends_on_the_generator_alone(device):
    x = images(device)
    before = torch.get_rng_state()
    first = ALL(x, generator(device, 3))
    assert torch.equal(first, ALL(x, generator(device, 3)))
    assert not torch.equal(first, ALL(x, generator(device, 4)))
    assert torch.equal(before, torch.get_rng_state())


def test_successive_views_differ(device):
    x, rng = images(device), generator(device)
    assert not torch.equal(ALL(x, rng), ALL(x, rng))


def test_settings_are_parameters_of_an_estimator():
    class Learner(BaseEstimator):
        def __init__(self, augment=None):
            self.augment = augment

    for augment in (ImageAugmentation(rotation=30), MarginalCorruption(0.5)):
        assert clone(Learner(augment)).augment == augment
        assert pickle.loads(pickle.dumps(augment)) == augment
        assert eval(repr(augment)) == augment
        assert hash(augment) == hash(replace(augment))
        assert repr(augment) in " ".join(repr(Learner(augment)).split())
        with pytest.raises(FrozenInstanceError):
            augment.rate = 0.1


# errors


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("shift", -0.1, r"a float in \[0, 1\]"),
        ("shift", 1.5, r"a float in \[0, 1\]"),
        ("shift", True, r"a float in \[0, 1\]"),
        ("rotation", 181, r"a float in \[0, 180\]"),
        ("rotation", "15", r"a float in \[0, 180\]"),
        ("scale", 1.0, r"a float in \[0, 1\)"),
        ("crop", 0.0, r"a float in \(0, 1\]"),
        ("crop", None, r"a float in \(0, 1\]"),
        ("flip", 0.5, "a bool"),
        ("flip", "yes", "a bool"),
        ("brightness", -1.0, r"a float in \[0, inf\)"),
        ("contrast", 1.1, r"a float in \[0, 1\]"),
        ("saturation", -1, r"a float in \[0, 1\]"),
        ("grey", math.nan, r"a float in \[0, 1\]"),
        ("blur", math.inf, r"a float in \[0, inf\)"),
        ("erase", 1.01, r"a float in \[0, 1\]"),
    ],
)
def test_a_field_out_of_range_raises(name, value, accepted):
    message = f"The '{name}' parameter of ImageAugmentation must be {accepted}. Got"
    with pytest.raises(ValueError, match=message):
        ImageAugmentation(**{name: value})


def test_numpy_numbers_are_numbers():
    augment = ImageAugmentation(shift=np.float32(0.5), flip=np.bool_(True))
    assert augment.shift == 0.5


@pytest.mark.parametrize(
    "x", [torch.zeros(3, 4), torch.zeros(2, 8, 8), torch.zeros(2, 1, 8, 8).int()]
)
def test_anything_but_images_raises(x):
    with pytest.raises(ValueError, match=r"\(n, C, H, W\). Got torch"):
        ImageAugmentation()(x, Generator())
