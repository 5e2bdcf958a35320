from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

from skdeep.representation import AutoencoderTransformer
from skdeep.training.modes import FLOAT32_PRODUCTS

if not hasattr(torch.backends.mkldnn, "matmul"):
    pytest.skip("CPUs have a setting of their own since 2.9", allow_module_level=True)

MATMUL = torch.backends.mkldnn.matmul
EXACT, LOWERED = "ieee", "bf16"


@pytest.fixture
def lowered_products():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)
    MATMUL.fp32_precision = "none"


@pytest.mark.usefixtures("lowered_products")
def test_precision_of_the_caller_returns_after_an_exception():
    with pytest.raises(KeyError), FLOAT32_PRODUCTS.inside():
        raise KeyError
    assert MATMUL.fp32_precision == LOWERED


@pytest.mark.usefixtures("lowered_products")
def test_nested_fits_give_the_precision_back():
    with FLOAT32_PRODUCTS.inside():
        with FLOAT32_PRODUCTS.inside():
            assert MATMUL.fp32_precision == EXACT
        assert MATMUL.fp32_precision == EXACT
    assert MATMUL.fp32_precision == LOWERED


@pytest.mark.usefixtures("lowered_products")
def test_fits_in_threads_at_once_share_the_precision():
    both_inside, first_left = Barrier(2), Barrier(2)

    def first():
        with FLOAT32_PRODUCTS.inside():
            both_inside.wait()
        first_left.wait()

    def second():
        with FLOAT32_PRODUCTS.inside():
            both_inside.wait()
            first_left.wait()
            return MATMUL.fp32_precision

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(first), pool.submit(second)]
        assert futures[1].result() == EXACT
    assert MATMUL.fp32_precision == LOWERED


def test_precision_of_all_backends_stays_that_of_all():
    torch.backends.fp32_precision = LOWERED
    try:
        with FLOAT32_PRODUCTS.inside():
            assert MATMUL.fp32_precision == EXACT
        assert MATMUL.fp32_precision == LOWERED
    finally:
        torch.backends.fp32_precision = "none"
    assert MATMUL.fp32_precision == "none"


@pytest.mark.usefixtures("lowered_products")
@pytest.mark.parametrize("shape", [(40,), (1, 8, 8)], ids=["rows", "images"])
def test_fits_and_codes_are_those_of_float32(shape):
    X = np.random.RandomState(0).randn(64, *shape).astype(np.float32)
    settings = {"max_iter": 2, "precision": "float32", "random_state": 0}
    model = AutoencoderTransformer(4, **settings).fit(X)
    codes = model.transform(X)
    torch.set_float32_matmul_precision("highest")
    np.testing.assert_array_equal(model.transform(X), codes)
    again = AutoencoderTransformer(4, **settings).fit(X)
    np.testing.assert_array_equal(again.transform(X), codes)
