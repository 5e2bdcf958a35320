import re

import numpy as np
import pytest
import torch
from torch import Generator

from skdeep.nn.augmentation import ImageAugmentation, MarginalCorruption
from skdeep.representation import SimCLRTransformer
from skdeep.representation._views import (
    SMALL_MOVES,
    default_views,
    on_rows,
    resolved_augment,
)


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


# functions of the user


def noise(x, rng):
    return 0.1 * torch.randn(x.shape, generator=rng)


def view_of(augment):
    return on_rows(augment, None, None, Generator())


def test_functions_may_work_in_place():
    x, rng = torch.zeros(4, 3), Generator().manual_seed(0)
    view = view_of(lambda x, rng: x.add_(noise(x, rng)))
    first, second = view(x, rng), view(x, rng)
    assert not torch.equal(first, second)
    assert torch.equal(x, torch.zeros(4, 3))


def test_views_in_place_teach_what_others_teach():
    X = np.random.RandomState(0).randn(20, 3)
    in_place, anew = (
        SimCLRTransformer(
            2, hidden_layer_sizes=(4,), augment=view, max_iter=2, random_state=0
        )
        for view in (lambda x, rng: x.add_(noise(x, rng)), lambda x, r: x + noise(x, r))
    )
    assert in_place.fit(X).history_ == anew.fit(X).history_


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
def test_views_of_any_type_are_read_in_that_of_the_rows(dtype):
    x = torch.tensor([[1.0, -2.0]])
    found = view_of(lambda x, _: x.to(dtype))(x, None)
    assert found.dtype == torch.float32
    assert torch.equal(found, x)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (ImageAugmentation, "is the class ImageAugmentation.*augment=ImageAugmentat"),
        (MarginalCorruption, "is the class MarginalCorruption"),
        (torch.nn.Dropout, "is the class Dropout"),
        (lambda x: x, r"must take two arguments.*\. Got one that takes \(x\)"),
        (lambda x, _, p: x + p, r"must take two arguments.*\(x, _, p\)"),
    ],
)
def test_what_is_no_function_of_two_arguments_is_refused(augment, message):
    with pytest.raises(ValueError, match="The 'augment' parameter " + message):
        view_of(augment)


def test_functions_without_a_signature_are_called():
    assert torch.equal(view_of(torch.mul)(torch.ones(1, 3), 2), 2 * torch.ones(1, 3))


@pytest.mark.parametrize(
    ("result", "got"),
    [(np.zeros((3, 2)), "ndarray"), (None, "NoneType"), (torch.zeros(3), "(3,)")],
)
def test_results_are_told_by_their_type_or_shape(result, got):
    message = f"'augment' parameter must map .* Got {re.escape(got)} for \\(3, 2\\)"
    with pytest.raises(ValueError, match=message):
        view_of(lambda *_: result)(torch.zeros(3, 2), None)
