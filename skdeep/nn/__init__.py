"""Torch modules: maps between tensors that know no device, loss, `fit` or NumPy."""

from skdeep.nn.attention import AttentionEncoder
from skdeep.nn.convolution import ConvDecoder, ConvEncoder
from skdeep.nn.critic import ConcatenateCritic, DotCritic
from skdeep.nn.denoiser import MLPDenoiser, UNetDenoiser
from skdeep.nn.encoders import (
    ColumnEncoder,
    ImageEncoder,
    LocalEncoder,
    keep_statistics,
)
from skdeep.nn.flow import Flow
from skdeep.nn.generator import ImageDiscriminator, ImageGenerator
from skdeep.nn.initialization import initialized
from skdeep.nn.mlp import MLP, chained, logits_of_head, softmax_of_head
from skdeep.nn.network import Network

NETWORKS = {
    network.__name__: network
    for network in (
        MLP,
        AttentionEncoder,
        ConvEncoder,
        ConvDecoder,
        ImageEncoder,
        ColumnEncoder,
        DotCritic,
        ConcatenateCritic,
        Flow,
        ImageGenerator,
        ImageDiscriminator,
        MLPDenoiser,
        UNetDenoiser,
    )
}
"""Class name -> class of every network that a saved estimator may hold."""

__all__ = [
    "MLP",
    "NETWORKS",
    "AttentionEncoder",
    "ColumnEncoder",
    "ConcatenateCritic",
    "ConvDecoder",
    "ConvEncoder",
    "DotCritic",
    "Flow",
    "ImageDiscriminator",
    "ImageEncoder",
    "ImageGenerator",
    "LocalEncoder",
    "MLPDenoiser",
    "Network",
    "UNetDenoiser",
    "chained",
    "initialized",
    "keep_statistics",
    "logits_of_head",
    "softmax_of_head",
]
