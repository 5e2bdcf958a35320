"""What an autoencoder minimises on a batch: reconstruction, neighbours and masks."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Generator, Tensor

from skdeep.nn import Network, chained
from skdeep.nn.corruption import Augmentation
from skdeep.objectives.contrastive import neighbor_contrastive_loss
from skdeep.objectives.reconstruction import cross_entropy


@dataclass(frozen=True)
class AutoencoderObjective:
    """Terms of the objective, and their weighted sum.

    Parameters
    ----------
    encoder : Network
    decoder : Network or None
        None rebuilds nothing, as encoders that were pretrained otherwise.
    error : callable
        Loss of what is rebuilt against the rows.
    neighbor_weight : float
        Weight of the contrastive term.
    corrupt : callable
        How the rows that are encoded are spoiled.
    mask_head : Network or None
        Tells which cells were swapped, from the code.
    mask_weight : float
        Weight of that term.
    """

    encoder: Network
    decoder: Network | None
    error: Callable[[Tensor, Tensor], Tensor]
    neighbor_weight: float
    corrupt: Augmentation
    mask_head: Network | None = None
    mask_weight: float = 0.0

    @property
    def networks(self) -> list[Network]:
        """All networks that there are."""
        each = self.encoder, self.decoder, self.mask_head
        return [network for network in each if network is not None]

    def losses(
        self, x: Tensor, n: int, rng: Generator, exaggeration: float
    ) -> dict[str, Tensor]:
        """Losses of n rows, which their neighbours follow in `x` if they have some.

        `exaggeration` is the power of the attraction between neighbours.
        """
        seen = self.corrupt(x, rng)
        output = None
        losses = {}
        if len(x) > n:
            z, z_neighbor = self.encoder(seen).chunk(2)
            losses["neighbor_loss"] = neighbor_contrastive_loss(
                z, z_neighbor, exaggeration
            )
            if self.decoder is not None:
                output = self.decoder(z)
        elif self.decoder is not None:
            z, output = chained(seen, self.encoder, self.decoder)
        terms = [self.neighbor_weight * loss for loss in losses.values()]
        if output is not None:
            losses["reconstruction_loss"] = self.error(output, x[:n])
            terms.insert(0, losses["reconstruction_loss"])
        if self.mask_head is not None:
            changed = (seen != x)[:n].to(x.dtype)
            losses["mask_loss"] = cross_entropy(self.mask_head(z), changed)
            terms.append(self.mask_weight * losses["mask_loss"])
        return {"loss": sum(terms[1:], terms[0]), **losses}
