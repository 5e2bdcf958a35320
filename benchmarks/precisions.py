"""The number types of matrix products that contestants are timed in."""

import torch

BFLOAT16_IS_NATIVE = torch.cpu._is_avx512_bf16_supported()
"""Whether the processor multiplies bfloat16; others emulate it, very slowly."""

TYPES = {"float32": torch.float32}
if BFLOAT16_IS_NATIVE:
    TYPES["bfloat16"] = torch.bfloat16
