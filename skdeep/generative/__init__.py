"""Deep models from which rows can be drawn."""

from skdeep.generative._codes import (
    attribute_direction,
    interpolate,
    interpolated_codes,
)
from skdeep.generative._diffusion import DiffusionSampler
from skdeep.generative._flow import FlowSampler
from skdeep.generative._gan import GANSampler
from skdeep.generative._vae import VAESampler

__all__ = [
    "DiffusionSampler",
    "FlowSampler",
    "GANSampler",
    "VAESampler",
    "attribute_direction",
    "interpolate",
    "interpolated_codes",
]
