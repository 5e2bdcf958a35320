"""The number type of the matrix products in training."""

import torch

from skdeep.nn import Network

LARGE = 500_000
"""Weights from which a dense network is large: it takes bfloat16, and all threads.
Smaller ones gain little by either, and in bfloat16 the pretraining of some tears groups
apart that float32 keeps (three of eight seeds of the default network on digits).
"""


def resolved_precision(
    precision: str, device: torch.device, networks: list[Network]
) -> torch.dtype:
    """Product type of a training: what was asked for, or what the hardware is best at.

    ``"auto"`` takes bfloat16 for large or convolutional networks on hardware that
    multiplies it natively. Weights, statistics and losses are float32 all the same.
    """
    if precision == "auto":
        faster = is_large(networks) and multiplies_bfloat16(device)
        precision = "bfloat16" if faster else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def is_large(networks: list[Network]) -> bool:
    """Whether networks that train together have many weights, or convolve."""
    return is_convolutional(networks) or n_weights(networks) >= LARGE


def n_weights(networks: list[Network]) -> int:
    """Count the weights of all networks."""
    return sum(weight.numel() for net in networks for weight in net.parameters())


def is_convolutional(networks: list[Network]) -> bool:
    """Whether a network convolves: few weights, used at every place of an image."""
    return any(weight.ndim == 4 for net in networks for weight in net.parameters())


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively; others emulate it, slowly."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return False
