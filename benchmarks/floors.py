"""What a training cannot be faster than, or hardly: the floors of the speed benchmark.

`products` makes the matrix products of the dense layers and the steps of Adam, and
nothing else. `torch_loop` is the shortest loop that a user of torch would write.
`by_hand` also does without autograd and modules, for networks so small that these take
most of the time.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, mse_loss
from torch.optim.adamw import adamw

from skdeep.nn.products import Products


def mirrored(widths: Sequence[int]) -> list[int]:
    """Widths of an autoencoder from those of its encoder."""
    return [*widths, *widths[-2::-1]]


class FlatAdamW:
    """Fused AdamW on one vector of all the weights of dense layers.

    Attributes
    ----------
    weights, gradients : list of (Tensor, Tensor)
        The matrix ``(n_out, n_in)`` and the bias of each layer: views of the vectors.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        n_weights = sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))
        self.vectors = [torch.zeros(n_weights) for _ in range(4)]
        self.n_steps = torch.zeros(())
        self.weights = layers_of(self.vectors[0], widths)
        self.gradients = layers_of(self.vectors[1], widths)
        for matrix, _ in self.weights:
            nn.init.xavier_normal_(matrix)

    def step(self) -> None:
        """Move the weights against the gradients."""
        weights, gradients, means, squares = self.vectors
        adamw(
            [weights],
            [gradients],
            [means],
            [squares],
            [],
            [self.n_steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=1e-3,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def layers_of(vector: Tensor, widths: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    """Cut a vector into the matrix and the bias of each layer, as views of it."""
    layers, start = [], 0
    for n_in, n_out in pairwise(widths):
        matrix = vector[start : start + n_in * n_out].view(n_out, n_in)
        start += n_in * n_out
        layers.append((matrix, vector[start : start + n_out]))
        start += n_out
    return layers


@torch.no_grad()
def products(
    n_rows: int,
    widths: Sequence[int],
    batch_size: int,
    dtype: torch.dtype,
    n_epochs: int,
    n_refreshed: int = 0,
    library: Products | None = None,
) -> None:
    """Make the products of so many epochs, and the steps of Adam in float32.

    The first `n_refreshed` layers pass all rows forward once more after each epoch.
    Without a `library` torch writes the products where there is room already.
    """
    adam = FlatAdamW(widths)
    adam.vectors[1].normal_()
    matrices = [matrix.to(dtype) for matrix, _ in adam.weights]
    biases = [bias.to(dtype) for _, bias in adam.weights]
    matrix_gradients = [torch.empty_like(matrix) for matrix in matrices]
    inputs = [torch.randn(batch_size, width).to(dtype) for width in widths]
    gradients = [torch.randn(batch_size, width).to(dtype) for width in widths]
    sizes = [len(part) for part in torch.arange(n_rows).split(batch_size)]

    def forward(size: int, n_layers: int) -> None:
        h = [x[:size] for x in inputs]
        for i in range(n_layers):
            if library is not None:
                library.affine(h[i], matrices[i], biases[i])
                continue
            torch.addmm(biases[i], h[i], matrices[i].T, out=h[i + 1])

    def backward(size: int) -> None:
        g = [gradient[:size] for gradient in gradients]
        for i in reversed(range(len(matrices))):
            if library is not None:
                library.product_into(g[i + 1].T, inputs[i][:size], matrix_gradients[i])
                if i > 0:
                    library.product(g[i + 1], matrices[i])
                continue
            torch.mm(g[i + 1].T, inputs[i][:size], out=matrix_gradients[i])
            if i > 0:
                torch.mm(g[i + 1], matrices[i], out=g[i])

    for _ in range(n_epochs):
        for size in sizes:
            forward(size, len(matrices))
            backward(size)
            adam.step()
        if n_refreshed:
            for size in sizes:
                forward(size, n_refreshed)


@torch.no_grad()
def by_hand(X: Tensor, widths: Sequence[int], batch_size: int, n_epochs: int) -> None:
    """Train an autoencoder in float32, forward and backward written out."""
    widths = mirrored(widths)
    adam = FlatAdamW(widths)
    layers = list(zip(adam.weights, adam.gradients, strict=True))
    for _ in range(n_epochs):
        for index in torch.randperm(len(X)).split(batch_size):
            h = [X[index]]
            for (matrix, bias), _ in layers[:-1]:
                h.append(torch.addmm(bias, h[-1], matrix.T).relu_())
            (matrix, bias), _ = layers[-1]
            g = torch.addmm(bias, h[-1], matrix.T).sub_(h[0]).mul_(2 / h[0].numel())
            for i in reversed(range(len(layers))):
                (matrix, _), (matrix_gradient, bias_gradient) = layers[i]
                torch.mm(g.T, h[i], out=matrix_gradient)
                torch.sum(g, 0, out=bias_gradient)
                if i > 0:
                    g = torch.mm(g, matrix)
                    g = torch.ops.aten.threshold_backward(g, h[i], 0)
            adam.step()


def dense(widths: Sequence[int]) -> nn.Sequential:
    """Dense layers with rectifiers between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def torch_loop(
    X: Tensor,
    widths: Sequence[int],
    batch_size: int,
    dtype: torch.dtype,
    n_epochs: int,
    *,
    method: str = "autoencoder",
    refreshes: bool = False,
) -> None:
    """Train an autoencoder, or the deep stage of DEC, IDEC or DCN with ten clusters.

    The targets are refreshed after each epoch, or never. DCN has none, but looks at the
    assignments of all rows instead.
    """
    encoder = dense(widths)
    modules = [encoder]
    if method != "DEC":
        decoder = dense(widths[::-1])
        modules.append(decoder)
    clusters = method != "autoencoder"
    centroids = torch.randn(10, widths[-1], requires_grad=method != "DCN")
    counts = torch.ones(10)
    p = torch.rand(len(X), 10).softmax(1)
    weights = [weight for module in modules for weight in module.parameters()]
    moved = [centroids] if clusters and method != "DCN" else []
    optimizer = torch.optim.AdamW(weights + moved, fused=True)
    for _ in range(n_epochs):
        for index in torch.randperm(len(X)).split(batch_size):
            x = X[index]
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                z = encoder(x)
                y = decoder(z) if method != "DEC" else None
            loss = torch.zeros(())
            if y is not None:
                loss = loss + mse_loss(y.float(), x)
            if method == "DCN":
                nearest = torch.cdist(z.detach().float(), centroids).argmin(1)
                pull = z.float() - centroids[nearest]
                loss = loss + 0.01 * pull.square().sum(1).mean()
                counts.index_add_(0, nearest, torch.ones(len(index)))
                centroids.index_add_(0, nearest, pull.detach() / counts[nearest, None])
            elif clusters:
                log_q = log_assignment(z.float(), centroids)
                loss = loss + kl_div(log_q, p[index], reduction="batchmean")
            loss.backward()
            optimizer.step()
        if refreshes:
            p = targets(encoder, X, centroids, dtype)


def log_assignment(z: Tensor, centroids: Tensor) -> Tensor:
    """Logarithm of the soft assignment of Student's t with one degree of freedom."""
    distances = (z.unsqueeze(1) - centroids).square().sum(2)
    return log_softmax(-distances.log1p(), 1)


@torch.no_grad()
def targets(
    encoder: nn.Module, X: Tensor, centroids: Tensor, dtype: torch.dtype
) -> Tensor:
    """Target distribution of all rows."""
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        z = torch.cat([encoder(x) for x in X.split(1024)])
    q = log_assignment(z.float(), centroids).exp()
    sharpened = q.square() / q.sum(0)
    return sharpened / sharpened.sum(1, keepdim=True)
