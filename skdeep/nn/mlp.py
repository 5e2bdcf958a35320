"""Multi-layer perceptron."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from skdeep.nn.network import Network


class MLP(Network):
    r"""Dense layers with rectifiers between them.

    .. math:: h_0 = x, \qquad h_l = \max(0, W_l h_{l-1} + b_l), \qquad
              \text{output} = W_L h_{L-1} + b_L

    Parameters
    ----------
    sizes : sequence of int
        Widths from the input to the output, both included.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sizes[-1], sizes=list(sizes))
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, sizes[0])`` to ``(n, sizes[-1])``."""
        return self.layers(x)
