"""Matrix products of dense layers, by the fastest library for the processor.

torch multiplies float32 matrices with MKL, which is slow on AMD's processors: there its
other library, oneDNN, takes half of the time of large products at the same accuracy. It
takes long to begin small ones, and a fifth more for all on Intel's. In bfloat16 torch
takes oneDNN itself, but adds biases and rectifies in passes of their own, which oneDNN
does as it writes. The choice depends on the processor, the version of torch and the
shapes alone, never on a timing, so that the same machine always gives the same bits.
"""

import math
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import linear

VERSIONS = ((2, 6), (3, 0))
"""Versions of torch, from and up to, of which the operation below is known."""

LARGE = 2**20
"""Multiplications in float32 from which oneDNN is faster where MKL is slow."""


@cache
def onednn_is_faster(dtype: torch.dtype) -> bool:
    """Whether products of this type should go to oneDNN."""
    first, beyond = VERSIONS
    major, minor = torch.__version__.split(".")[:2]
    known = (
        first <= (int(major), int(minor)) < beyond
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )
    if dtype is torch.bfloat16:
        return known and torch.cpu._is_avx512_bf16_supported()
    return known and dtype is torch.float32 and _vendor() == "AuthenticAMD"


def _vendor() -> str:
    """Vendor of the processor, as Linux names it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    named = [line.split(":")[1] for line in lines if line.startswith("vendor_id")]
    return named[0].strip() if named else ""


class TorchProducts:
    """Products as torch makes them."""

    affine = staticmethod(linear)

    @staticmethod
    def rectified(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        r"""Dense layer and rectifier, :math:`\max(0, x W^\top + b)`."""
        return linear(x, weight, bias).relu_()

    product = staticmethod(torch.mm)

    @staticmethod
    def product_into(a: Tensor, b: Tensor, out: Tensor) -> None:
        """Write the product a b into `out`."""
        torch.mm(a, b, out=out)


class OneDNNProducts:
    """The same by oneDNN, through the operation that torch's compiler uses."""

    @staticmethod
    def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        r"""Dense layer :math:`x W^\top + b`."""
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def rectified(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        r"""Dense layer and rectifier, :math:`\max(0, x W^\top + b)`."""
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")

    @staticmethod
    def product(a: Tensor, b: Tensor) -> Tensor:
        """Product a b."""
        return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")

    @staticmethod
    def product_into(a: Tensor, b: Tensor, out: Tensor) -> None:
        """Write the product a b into `out`."""
        if out.dtype is torch.bfloat16:
            torch.mm(a, b, out=out)  # oneDNN's, and needs no copy
        else:
            out.copy_(OneDNNProducts.product(a, b))


Products = type[TorchProducts] | type[OneDNNProducts]


def onednn_from(weight: Tensor) -> float:
    """Rows from which products with a weight should go to oneDNN; infinite: never."""
    # Autocast lowers torch's own operations, and not that of oneDNN.
    lowers = torch.is_autocast_enabled("cpu")
    if weight.device.type != "cpu" or lowers or not onednn_is_faster(weight.dtype):
        return math.inf
    return 0 if weight.dtype is torch.bfloat16 else LARGE / weight.numel()


def products_for(n_rows: int, least: float) -> Products:
    """Return the products of so many rows, of which oneDNN takes at least `least`."""
    return OneDNNProducts if n_rows >= least else TorchProducts
