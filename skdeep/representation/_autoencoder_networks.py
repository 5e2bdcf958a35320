"""The networks of an autoencoder, of tables and of images."""

from typing import Any

from skdeep.fitting import Fitting
from skdeep.nn import (
    MLP,
    AttentionEncoder,
    ConvDecoder,
    ConvEncoder,
    Network,
    initialized,
)
from skdeep.parameters import checked_sizes


def new_networks(estimator: Any, fitting: Fitting) -> tuple[Network, Network]:
    """Build the encoder and the decoder, on the device of the rows."""
    rng, n_components = fitting.weight_rng, int(estimator.n_components)
    encoder: Network
    decoder: Network
    if fitting.image_shape is not None:
        if estimator.network == "attention":
            raise ValueError(
                f"The 'network' parameter of {type(estimator).__name__} is "
                "'attention', which reads tables, but the rows are images of shape "
                f"{fitting.image_shape}: use network='dense', and they are convolved."
            )
        shape = {
            "image_shape": fitting.image_shape,
            "channels": checked_sizes(estimator, (16, 32, 64)),
            "n_components": n_components,
        }
        encoder = initialized(ConvEncoder, rng, **shape)
        decoder = initialized(ConvDecoder, rng, **shape)
    else:
        attends = estimator.network == "attention"
        sizes = checked_sizes(estimator, (128, 128) if attends else (512, 256))
        widths = [fitting.n_features, *sizes, n_components]
        if attends:
            encoder = initialized(
                AttentionEncoder,
                rng,
                n_features=fitting.n_features,
                hidden_layer_sizes=sizes,
                n_components=n_components,
            )
        else:
            encoder = initialized(MLP, rng, sizes=widths)
        decoder = initialized(MLP, rng, sizes=widths[::-1])
    device = fitting.rows.device
    return encoder.to(device), decoder.to(device)


def new_mask_head(estimator: Any, fitting: Fitting) -> Network:
    """Build the network that tells which cells were replaced, from the code."""
    if not estimator.corruption:
        raise ValueError(
            "mask_weight above 0 needs cells to be replaced: the 'corruption' "
            f"parameter of {type(estimator).__name__} must be above 0, for example "
            "0.3. Got 0 instead."
        )
    sizes = [int(estimator.n_components), fitting.n_features]
    head = initialized(MLP, fitting.weight_rng, sizes=sizes)
    return head.to(fitting.rows.device)
