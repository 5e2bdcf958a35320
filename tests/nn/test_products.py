from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Generator

from skdeep.nn import products
from skdeep.nn.products import OneDNNProducts, TorchProducts, products_for


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


@pytest.fixture
def processor(monkeypatch):
    """Pretend to have a processor, and forget it afterwards."""

    def pretend(vendor, capability="AVX512", version="2.13.0+cpu"):
        monkeypatch.setattr(products, "_vendor", lambda: vendor)
        cpu = SimpleNamespace(get_cpu_capability=lambda: capability)
        monkeypatch.setattr(torch.backends, "cpu", cpu)
        monkeypatch.setattr(torch, "__version__", version)
        products.onednn_is_faster.cache_clear()

    yield pretend
    products.onednn_is_faster.cache_clear()


@pytest.mark.parametrize("n", [1, 7, 64])
def test_both_libraries_give_the_same_products(n):
    x, weight, bias = normal(n, 12), normal(5, 12, seed=1), normal(5, seed=2)
    g = normal(n, 5, seed=3)
    for name, arguments in [
        ("affine", (x, weight, bias)),
        ("product", (g, weight)),
        ("product", (g.t(), x)),
    ]:
        found = getattr(OneDNNProducts, name)(*arguments)
        torch.testing.assert_close(found, getattr(TorchProducts, name)(*arguments))
    out = torch.full((5, 12), torch.nan)
    OneDNNProducts.product_into(g.t(), x, out)
    torch.testing.assert_close(out, g.t() @ x)


@pytest.mark.parametrize(
    ("vendor", "capability", "version", "expected"),
    [
        ("AuthenticAMD", "AVX512", "2.13.0+cpu", OneDNNProducts),
        ("AuthenticAMD", "AVX512", "2.5.1", TorchProducts),
        ("AuthenticAMD", "AVX512", "3.0.0", TorchProducts),
        ("AuthenticAMD", "AVX2", "2.13.0", TorchProducts),
        ("GenuineIntel", "AVX512", "2.13.0", TorchProducts),
        ("", "DEFAULT", "2.13.0", TorchProducts),
    ],
)
def test_library_follows_the_processor_and_the_version(
    processor, vendor, capability, version, expected
):
    processor(vendor, capability, version)
    assert products_for(torch.zeros(2, 2)) is expected
    assert products_for(torch.zeros(2, 2, dtype=torch.bfloat16)) is TorchProducts
    assert products_for(torch.zeros(2, 2, dtype=torch.float64)) is TorchProducts


def test_vendor_is_a_word_or_nothing(monkeypatch):
    assert products._vendor() == "" or products._vendor().isalnum()

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert products._vendor() == ""
