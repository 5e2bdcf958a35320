import torch

from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.representation._views import SMALL_MOVES, default_views, resolved_augment


def test_automatic_augmentation_moves_large_images_alone():
    assert resolved_augment("auto", None, (1, 16, 16)) == (SMALL_MOVES, (1, 16, 16))
    assert resolved_augment("auto", (3, 8, 32), None) == (None, (3, 8, 32))
    assert resolved_augment("auto", None, None) == (None, None)


def test_changes_of_images_alone_see_the_pixels_of_flat_rows():
    of_images, of_rows = ImageAugmentation(), torch.nn.Dropout()
    flat, images = (None, (1, 16, 16)), ((1, 8, 8), (1, 8, 8))
    assert resolved_augment(of_images, *flat) == (of_images, (1, 16, 16))
    assert resolved_augment(of_images, *images) == (of_images, (1, 8, 8))
    assert resolved_augment(of_rows, *flat) == (of_rows, None)
    assert resolved_augment(of_rows, *images) == (of_rows, (1, 8, 8))
    assert resolved_augment(None, *flat) == (None, None)


def test_default_views_move_images_and_swap_cells_of_tables():
    assert default_views("auto", (1, 8, 8)) == ImageAugmentation()
    assert default_views("auto", None) == MarginalCorruption(0.3)
    assert default_views("auto", None, 0.6) == MarginalCorruption(0.6)
    assert default_views(None, (1, 8, 8)) is None
    assert default_views(SMALL_MOVES, None) is SMALL_MOVES
