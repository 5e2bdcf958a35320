from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Generator

from skdeep.nn import products
from skdeep.nn.products import (
    LARGE,
    OneDNNProducts,
    TorchProducts,
    onednn_from,
    products_for,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


@pytest.fixture
def processor(monkeypatch):
    """Pretend to have a processor, and forget it afterwards."""

    def pretend(vendor, capability="AVX512", version="2.13.0+cpu", bfloat16=True):
        monkeypatch.setattr(products, "_vendor", lambda: vendor)
        cpu = SimpleNamespace(get_cpu_capability=lambda: capability)
        monkeypatch.setattr(torch.backends, "cpu", cpu)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bfloat16)
        monkeypatch.setattr(torch, "__version__", version)
        products.onednn_is_faster.cache_clear()

    yield pretend
    products.onednn_is_faster.cache_clear()


@pytest.mark.parametrize("n", [1, 7, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_libraries_give_the_same_products(n, dtype):
    x, weight, bias = normal(n, 12), normal(5, 12, seed=1), normal(5, seed=2)
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    g = normal(n, 5, seed=3).to(dtype)
    for name, arguments in [
        ("affine", (x, weight, bias)),
        ("rectified", (x, weight, bias)),
        ("product", (g, weight)),
        ("product", (g.t(), x)),
    ]:
        found = getattr(OneDNNProducts, name)(*arguments)
        torch.testing.assert_close(found, getattr(TorchProducts, name)(*arguments))
    out = torch.full((5, 12), torch.nan, dtype=dtype)
    OneDNNProducts.product_into(g.t(), x, out)
    torch.testing.assert_close(out, g.t() @ x)


@pytest.mark.parametrize(
    ("vendor", "capability", "version", "bfloat16", "expected"),
    [
        ("AuthenticAMD", "AVX512", "2.13.0+cpu", True, {"float32", "bfloat16"}),
        ("AuthenticAMD", "AVX512", "2.13.0", False, {"float32"}),
        ("AuthenticAMD", "AVX512", "2.5.1", True, set()),
        ("AuthenticAMD", "AVX512", "3.0.0", True, set()),
        ("AuthenticAMD", "AVX2", "2.13.0", False, set()),
        ("GenuineIntel", "AVX512", "2.13.0", True, {"bfloat16"}),
        ("GenuineIntel", "AVX512", "2.13.0", False, set()),
        ("", "DEFAULT", "2.13.0", False, set()),
    ],
)
def test_library_follows_the_processor_and_the_version(
    processor, vendor, capability, version, bfloat16, expected
):
    processor(vendor, capability, version, bfloat16)
    for name in ("float32", "bfloat16", "float64"):
        weight = torch.zeros(2, 2, dtype=getattr(torch, name))
        library = OneDNNProducts if name in expected else TorchProducts
        assert products_for(LARGE, onednn_from(weight)) is library


def test_small_float32_products_stay_with_torch(processor):
    processor("AuthenticAMD")
    weight = torch.zeros(512, 256)
    few = onednn_from(weight)
    assert few == LARGE / (512 * 256) == 8
    assert products_for(7, few) is TorchProducts
    assert products_for(8, few) is OneDNNProducts
    assert products_for(1, onednn_from(weight.bfloat16())) is OneDNNProducts


def test_vendor_is_a_word_or_nothing(monkeypatch):
    assert products._vendor() == "" or products._vendor().isalnum()

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert products._vendor() == ""
