"""Adam over all that a training moves, as one vector."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
from torch import Tensor

from skdeep.nn import MLP, Network
from skdeep.nn.dense import DenseStack
from skdeep.training.precision import resolved_precision
from skdeep.training.threads import bounded_threads

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    r"""Adam with decoupled weight decay, over networks and tensors as one vector.

    The weights become views of one vector, and so do their gradients: each step is one
    operation on it, whatever the number of layers. Dense networks train as
    `DenseLayers`, with products in the type that `precision` resolves to; others by
    autograd.

    With gradient :math:`g`, decay :math:`\lambda` and step size :math:`\eta`,

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        w \leftarrow w - \eta \lambda w
        - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    networks : list of Network
        All on one device.
    tensors : sequence of Tensor
        Others to move, on the same device; they need a gradient.
    learning_rate : float
        May be set between steps.
    learning_rate_factors : sequence of float or None
        One a network, by which its step size is multiplied; None and tensors: 1.
    weight_decay : float
    precision : {"auto", "float32", "bfloat16"}
        Of the products.
    betas : (float, float)
        Decay of the running means of gradient and square.
    max_gradient_norm : float or None
        Length to which longer gradients are shortened.
    fused_layers : bool
        False trains dense networks by autograd, for losses of gradients.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
    arXiv:1711.05101.
    """

    def __init__(
        self,
        networks: list[Network],
        tensors: Iterable[Tensor] = (),
        *,
        learning_rate: float,
        learning_rate_factors: Sequence[float] | None = None,
        weight_decay: float = 0.0,
        precision: str = "auto",
        betas: tuple[float, float] = BETAS,
        max_gradient_norm: float | None = None,
        fused_layers: bool = True,
    ) -> None:
        self.networks = networks
        self.betas = betas
        self.max_gradient_norm = max_gradient_norm
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        dense = [net for net in networks if fused_layers and isinstance(net, MLP)]
        others = [net for net in networks if net not in dense]
        # The dense networks come first: what follows them autograd adds up.
        groups = [[*net.parameters()] for net in [*dense, *others]] + [[*tensors]]
        self._pieces = [piece for group in groups for piece in group]
        device = self._pieces[0].device
        self.dtype = resolved_precision(precision, device, networks)

        self._weights = torch.cat([piece.detach().flatten() for piece in self._pieces])
        self._gradient = torch.zeros_like(self._weights)
        self._mean = torch.zeros_like(self._weights)
        self._square = torch.zeros_like(self._weights)
        self._count = torch.zeros((), device=device)
        for piece, view in zip(self._pieces, self._views(self._weights), strict=True):
            piece.data = view
        factors = learning_rate_factors or [1.0] * len(networks)
        factor_of = dict(zip(networks, factors, strict=True))
        ordered = [factor_of[net] for net in [*dense, *others]] + [1.0]
        sizes = [sum(piece.numel() for piece in group) for group in groups]
        self._spans = self._spans_of(ordered, sizes)

        self._n_dense = sum(w.numel() for net in dense for w in net.parameters())
        self._products = self._weights[: self._n_dense]
        self._product_gradient = self._gradient[: self._n_dense]
        if self.dtype != torch.float32:
            self._products = self._products.to(self.dtype)
            self._product_gradient = torch.zeros_like(self._products)
        self._stacks = self._stacks_of(dense)

    def step(self, loss: Tensor) -> None:
        """Move everything against the gradient of `loss`.

        Weights move in place: of two losses that share a graph, each stepped by an
        optimiser of its own, the second must not need the weights of the first.

        Raises
        ------
        RuntimeError
            Outside of `training`, where no gradient would arrive.
        """
        if self._pieces[0].grad is None:
            raise RuntimeError("Adam.step works only inside of Adam.training().")
        if self._n_dense < len(self._gradient):
            self._gradient[self._n_dense :].zero_()
        for _, stack in self._stacks:
            stack.written = False
        loss.backward()
        for _, stack in self._stacks:
            if not stack.written:  # the loss does not depend on it
                for places in stack.gradients:
                    for place in places:
                        place.zero_()
        if self.dtype != torch.float32:
            self._gradient[: self._n_dense].copy_(self._product_gradient)
        if self.max_gradient_norm is not None:
            length = torch.linalg.vector_norm(self._gradient)
            self._gradient.mul_((self.max_gradient_norm / length).clamp_max_(1.0))
        self._count.add_(1)
        # What torch.optim.AdamW(fused=True) runs, without its bookkeeping, which would
        # take longer than all else of a small network's step.
        for factor, (weights, gradients, means, squares) in self._spans:
            torch._fused_adamw_(
                weights,
                gradients,
                means,
                squares,
                [],
                [self._count],
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=factor * self.learning_rate,
                weight_decay=self.weight_decay,
                eps=EPSILON,
                maximize=False,
            )
        if self.dtype != torch.float32:
            self._products.copy_(self._weights[: self._n_dense])

    @property
    def weights(self) -> Tensor:
        """All that is moved, as one vector; set it by `set_weights` alone."""
        return self._weights

    def set_weights(self, weights: Tensor) -> None:
        """Copy a vector such as `weights` into the networks and tensors."""
        self._weights.copy_(weights)
        if self.dtype != torch.float32:
            self._products.copy_(self._weights[: self._n_dense])

    @contextmanager
    def training(self) -> Iterator[None]:
        """Let the networks train inside the context, and infer after it."""
        views = self._views(self._gradient)
        for piece, gradient in zip(self._pieces, views, strict=True):
            piece.grad = gradient
        if self.dtype != torch.float32:  # weights may have been set in between
            self._products.copy_(self._weights[: self._n_dense])
        for mlp, stack in self._stacks:
            mlp.stack = stack
        for network in self.networks:
            network.product_dtype = self.dtype
            network.train()
        try:
            with bounded_threads(self.networks):
                yield
        finally:
            for mlp, _ in self._stacks:
                mlp.stack = None
            for network in self.networks:
                network.product_dtype = torch.float32
                network.eval()
            for piece in self._pieces:
                piece.grad = None

    def _views(self, vector: Tensor) -> list[Tensor]:
        """Parts of a vector, in the shapes of the pieces that it starts with."""
        views, start = [], 0
        for piece in self._pieces:
            if start + piece.numel() > len(vector):
                break
            views.append(vector[start : start + piece.numel()].view_as(piece))
            start += piece.numel()
        return views

    def _spans_of(
        self, factors: list[float], sizes: list[int]
    ) -> list[tuple[float, list[list[Tensor]]]]:
        # Parts of the vectors with one step size each; neighbours of the same are one.
        spans, start = [], 0
        for factor, group in groupby(zip(factors, sizes, strict=True), lambda f: f[0]):
            end = start + sum(size for _, size in group)
            whole = (self._weights, self._gradient, self._mean, self._square)
            if end > start:
                spans.append((factor, [[vector[start:end]] for vector in whole]))
            start = end
        return spans

    def _stacks_of(self, dense: list[MLP]) -> list[tuple[MLP, DenseStack]]:
        # Autograd passes dense layers only if an input of theirs needs a gradient.
        parameters = self._weights.detach().requires_grad_()
        weights = iter(pairs(self._views(self._products)))
        gradients = iter(pairs(self._views(self._product_gradient)))
        stacks = []
        for network in dense:
            depths = range(len(network.arguments["sizes"]) - 1)
            layers = [next(weights) for _ in depths]
            places = [next(gradients) for _ in depths]
            stacks.append((network, DenseStack(parameters, layers, places)))
        return stacks


def pairs(views: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each layer."""
    return list(zip(views[::2], views[1::2], strict=False))
