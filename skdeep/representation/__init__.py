"""Transformers that learn a representation of their input."""

from skdeep.representation._autoencoder import AutoencoderTransformer

__all__ = ["AutoencoderTransformer"]
