"""An encoder of tables whose columns attend to each other."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from skdeep.nn.network import Network

N_UNITS = 32
"""Width of a token."""

N_HEADS = 4


class AttentionEncoder(Network):
    r"""Columns as tokens, layers of self-attention, and the code of a token of its own.

    Column j of a row x becomes the token :math:`x_j w_j + b_j`; one more,
    :math:`t_0`, is learned. Each layer lets the tokens T read each other and then
    changes each by itself,

    .. math:: T \leftarrow T + \mathrm{attention}(\mathrm{norm}(T)), \qquad
              T \leftarrow T + \mathrm{dense}(\mathrm{norm}(T))

    and the code is an affine map of the normalised :math:`t_0`. Time and memory grow
    with the square of the number of columns.

    Parameters
    ----------
    n_features : int
    hidden_layer_sizes : sequence of int
        One layer of attention each: the width of its dense part.
    n_components : int
        Width of the code.

    References
    ----------
    Y. Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", NeurIPS
    2021, arXiv:2106.11959 (FT-Transformer).
    """

    def __init__(
        self, n_features: int, hidden_layer_sizes: Sequence[int], n_components: int
    ) -> None:
        super().__init__(
            n_components,
            n_features=n_features,
            hidden_layer_sizes=list(hidden_layer_sizes),
            n_components=n_components,
        )
        self.tokens = ColumnTokens(n_features, N_UNITS)
        self.layers = nn.Sequential(
            *[AttentionLayer(N_UNITS, N_HEADS, width) for width in hidden_layer_sizes]
        )
        self.hidden = nn.Sequential(nn.LayerNorm(N_UNITS), nn.ReLU())
        self.code = nn.Linear(N_UNITS, n_components)

    def map(self, x: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to the code ``(n, n_components)``."""
        summary = self.layers(self.tokens(x))[:, 0]
        return self.code(self.hidden(summary))


class ColumnTokens(nn.Module):
    """An affine map of its own for each column, after a token that all rows share."""

    def __init__(self, n_features: int, n_units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_features, n_units))
        self.bias = nn.Parameter(torch.empty(n_features, n_units))
        self.summary = nn.Parameter(torch.empty(n_units))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_features)`` to ``(n, 1 + n_features, n_units)``."""
        columns = torch.addcmul(self.bias, x.unsqueeze(2), self.weight)
        return torch.cat([self.summary.expand(len(x), 1, -1), columns], dim=1)


class AttentionLayer(nn.Module):
    """Self-attention of the tokens, then a dense part on each, both as additions."""

    def __init__(self, n_units: int, n_heads: int, n_dense: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norms = nn.ModuleList([nn.LayerNorm(n_units), nn.LayerNorm(n_units)])
        self.reading = nn.Linear(n_units, 3 * n_units)
        self.attended = nn.Linear(n_units, n_units)
        self.dense = nn.Sequential(
            nn.Linear(n_units, n_dense), nn.ReLU(), nn.Linear(n_dense, n_units)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(n, n_tokens, n_units)`` to the same shape."""
        tokens = tokens + self.attended(self._attention(self.norms[0](tokens)))
        return tokens + self.dense(self.norms[1](tokens))

    def _attention(self, tokens: Tensor) -> Tensor:
        read = self.reading(tokens).unflatten(2, (3, self.n_heads, -1))
        query, key, value = read.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).flatten(2)
