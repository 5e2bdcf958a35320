"""Transformers that learn a representation of their input."""

from skdeep.representation._autoencoder import AutoencoderTransformer
from skdeep.representation._deep_infomax import DeepInfoMaxTransformer
from skdeep.representation._fine_tuned import FineTunedClassifier
from skdeep.representation._mutual_information import mutual_information
from skdeep.representation._simclr import SimCLRTransformer

__all__ = [
    "AutoencoderTransformer",
    "DeepInfoMaxTransformer",
    "FineTunedClassifier",
    "SimCLRTransformer",
    "mutual_information",
]
