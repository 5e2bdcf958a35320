"""Adam over all that a training moves, as one vector."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from skdeep.nn import MLP, Network
from skdeep.nn.dense import DenseStack
from skdeep.training.graphs import changing
from skdeep.training.precision import resolved_precision
from skdeep.training.threads import bounded_threads

BETAS = (0.9, 0.999)
EPSILON = 1e-8

ALIGNED = 32
"""Each weight or bias begins at a multiple of so many, for fast products."""

FAINT, SWEEP = 1e-34, 64
"""Running means up to this size are set to zero, and after how many steps: those of
units that died fade until processors take far longer for each, and stay so small. They
move no weight.
"""

BLOCK_NUMBERS = 2**17
"""Weights that are moved at once where their gradient has to be converted first."""


Pace = tuple[float, float]
"""Factor of the step size, and weight decay."""


@dataclass
class Part:
    """Parts of the vectors of an `Adam` that one operation moves."""

    factor: float
    weight_decay: float
    gradient: Tensor
    weights: Tensor
    mean: Tensor
    square: Tensor


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
        Of the networks; tensors, which are centers and spreads, do not decay.
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
        self._in_training = False
        self._n_unswept = 0
        self.betas = betas
        self.max_gradient_norm = max_gradient_norm
        self.learning_rate = learning_rate
        dense = [net for net in networks if fused_layers and isinstance(net, MLP)]
        others = [net for net in networks if net not in dense]
        # The dense networks come first: what follows them autograd adds up.
        groups = [[*net.parameters()] for net in [*dense, *others]] + [[*tensors]]
        self._pieces = [piece for group in groups for piece in group]
        device = self._pieces[0].device
        self.dtype = resolved_precision(precision, device, networks)

        sizes = [padded_size(group) for group in groups]
        self._weights = self._pieces[0].detach().new_zeros(sum(sizes))
        self._mean = torch.zeros_like(self._weights)
        self._square = torch.zeros_like(self._weights)
        self._count = torch.zeros((), dtype=torch.float32, device=device)
        for piece, view in zip(
            self._pieces, views_of(self._weights, self._pieces), strict=True
        ):
            piece.data = view.copy_(piece.detach())

        # Where products are exact, they read the weights, and all gradients are one
        # vector. Else those of dense networks are in the type of the products.
        n_dense = sum(sizes[: len(dense)])
        self._lowered = self.dtype != torch.float32 and n_dense > 0
        n_lowered = n_dense if self._lowered else 0
        self._gradient = torch.zeros_like(self._weights[n_lowered:])
        self._added_up = self._gradient[n_dense - n_lowered :]
        self._products = self._weights[:n_dense]
        self._product_gradient = self._gradient[:n_dense]
        if self._lowered:
            self._products = self._products.to(self.dtype)
            self._product_gradient = torch.zeros_like(self._products)
        n_dense_pieces = sum(len([*net.parameters()]) for net in dense)
        self._exact_pieces = self._pieces[n_dense_pieces * self._lowered :]
        self._stacks = self._stacks_of(dense)
        self._one = self._weights.new_ones(())
        self._fades = device.type == "cpu"  # no step is recorded there

        factors = learning_rate_factors or [1.0] * len(networks)
        factor_of = dict(zip(networks, factors, strict=True))
        ordered = [(factor_of[net], weight_decay) for net in [*dense, *others]]
        ordered.append((1.0, 0.0))
        spans = spans_of(ordered, sizes, n_lowered, len(self._weights))
        self._parts = [
            self._part(pace, span, self._gradient[moved_back(span, n_lowered)])
            for pace, span in spans
        ]
        most = BLOCK_NUMBERS if device.type == "cpu" else max(1, n_lowered)
        block = self._weights.new_empty(min(most, n_lowered))
        self._lowered_parts = [
            (
                self._part(pace, span, block[moved_back(span, span.start)]),
                self._product_gradient[span],
                self._products[span],
            )
            for pace, span in spans_of(ordered, sizes, 0, n_lowered, most)
        ]

    def step(self, loss: Tensor) -> None:
        """Move everything against the gradient of `loss`.

        Weights move in place: of two losses that share a graph, each stepped by an
        optimiser of its own, the second must not need the weights of the first.

        Raises
        ------
        RuntimeError
            Outside of `training`, where no gradient would arrive.
        """
        if not self._in_training:
            raise RuntimeError("Adam.step works only inside of Adam.training().")
        if self._added_up.numel():
            self._added_up.zero_()
        for _, stack in self._stacks:
            stack.written = False
        self._run_backward(loss)
        for _, stack in self._stacks:
            if not stack.written:  # the loss does not depend on it
                for places in stack.gradients:
                    for place in places:
                        place.zero_()
        if self.max_gradient_norm is not None:
            self._shorten(self.max_gradient_norm)
        self._count.add_(self._one)
        rate = changing(lambda: self.learning_rate)
        for part in self._parts:
            self._move(part, rate)
        # Part by part, what is read and written in float32 stays in the cache.
        for part, gradient, products in self._lowered_parts:
            part.gradient.copy_(gradient)
            self._move(part, rate)
            products.copy_(part.weights)
        if self._fades:
            self._sweep()

    def _run_backward(self, loss: Tensor) -> None:
        # What loss.backward() runs, without its looks at the arguments, which would
        # take a tenth of the time of a small network's step.
        torch.autograd.Variable._execution_engine.run_backward(
            (loss,),
            (self._one,),
            keep_graph=False,
            create_graph=False,
            inputs=(),
            allow_unreachable=True,
            accumulate_grad=True,
        )

    def _sweep(self) -> None:
        # Set running means that have faded to zero, every few steps.
        self._n_unswept += 1
        if self._n_unswept == SWEEP:
            self._n_unswept = 0
            for running in (self._mean, self._square):
                torch.ops.aten.hardshrink.out(running, FAINT, out=running)

    def _part(self, pace: Pace, span: slice, gradient: Tensor) -> Part:
        vectors = self._weights[span], self._mean[span], self._square[span]
        return Part(*pace, gradient, *vectors)

    def _move(self, part: Part, rate: float | Tensor) -> None:
        # What torch.optim.AdamW(fused=True) runs, without its bookkeeping, which would
        # take longer than all else of a small network's step.
        torch._fused_adamw_(
            [part.weights],
            [part.gradient],
            [part.mean],
            [part.square],
            [],
            [self._count],
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=part.factor * rate,
            weight_decay=part.weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def _shorten(self, limit: float) -> None:
        # Shorten the gradient to `limit`, if it is longer.
        parts = [self._gradient, *[self._product_gradient] * self._lowered]
        norms = [torch.linalg.vector_norm(g, dtype=torch.float32) for g in parts]
        share = limit / torch.linalg.vector_norm(torch.stack(norms))
        for gradient in parts:
            gradient.mul_(share.clamp_max(1.0))

    @property
    def weights(self) -> Tensor:
        """All that is moved, as one vector; set it by `set_weights` alone."""
        return self._weights

    def set_weights(self, weights: Tensor) -> None:
        """Copy a vector such as `weights` into the networks and tensors."""
        self._weights.copy_(weights)
        self._refresh_products()

    def state(self) -> dict[str, Any]:
        """All that a step moves, and statistics that the networks gather."""
        return {"learning_rate": self.learning_rate, "tensors": self._moved()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.learning_rate = state["learning_rate"]
        for tensor, value in zip(self._moved(), state["tensors"], strict=True):
            tensor.copy_(value)
        self._refresh_products()

    def _moved(self) -> list[Tensor]:
        buffers = [buffer for net in self.networks for buffer in net.buffers()]
        return [self._weights, self._mean, self._square, self._count, *buffers]

    def _refresh_products(self) -> None:
        if self._lowered:
            self._products.copy_(self._weights[: len(self._products)])

    def finish(self) -> None:
        """Let go of what takes most memory and only further steps would need."""
        none = self._weights.new_empty(0)
        self._gradient = self._product_gradient = self._added_up = none
        self._mean = self._square = none
        self._parts, self._lowered_parts, self._stacks = [], [], []

    @contextmanager
    def training(self, beside: Sequence[Network] = ()) -> Iterator[None]:
        """Let the networks train inside the context, and infer after it.

        Networks that other optimisers train `beside` them count for the threads, too.

        Raises
        ------
        RuntimeError
            After `finish`.
        """
        if not len(self._mean):
            raise RuntimeError("This Adam has finished: its running means are gone.")
        pieces = self._exact_pieces
        for piece, gradient in zip(
            pieces, views_of(self._gradient, pieces), strict=True
        ):
            piece.grad = gradient
        self._refresh_products()  # weights may have been set in between
        for mlp, stack in self._stacks:
            mlp.stack = stack
        for network in self.networks:
            network.product_dtype = self.dtype
            network.train()
        self._in_training = True
        try:
            with bounded_threads([*dict.fromkeys([*self.networks, *beside])]):
                yield
        finally:
            self._in_training = False
            for mlp, _ in self._stacks:
                mlp.stack = None
            for network in self.networks:
                network.product_dtype = torch.float32
                network.eval()
            for piece in self._pieces:
                piece.grad = None

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Let the networks infer in the type of the products inside the context.

        For looks at all rows between epochs, which need not be more exact than steps.
        """
        for network in self.networks:
            network.product_dtype, network.infers_lowered = self.dtype, True
        try:
            yield
        finally:
            for network in self.networks:
                network.product_dtype, network.infers_lowered = torch.float32, False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let gradients pass through what is computed inside the context.

        None are made for the weights: the loss is another optimiser's.
        """
        trained = [*self._pieces, *(stack.parameters for _, stack in self._stacks)]
        for piece in trained:
            piece.requires_grad_(False)
        try:
            yield
        finally:
            for piece in trained:
                piece.requires_grad_(True)

    def _stacks_of(self, dense: list[MLP]) -> list[tuple[MLP, DenseStack]]:
        # Autograd passes dense layers only if an input of theirs needs a gradient.
        parameters = self._weights.detach().requires_grad_()
        pieces = [weight for network in dense for weight in network.parameters()]
        weights = iter(pairs(views_of(self._products, pieces)))
        gradients = iter(pairs(views_of(self._product_gradient, pieces)))
        stacks = []
        for network in dense:
            depths = range(len(network.arguments["sizes"]) - 1)
            layers = [next(weights) for _ in depths]
            places = [next(gradients) for _ in depths]
            stacks.append((network, DenseStack(parameters, layers, places)))
        return stacks


def padded_size(pieces: Iterable[Tensor]) -> int:
    """Numbers of a vector in which each piece begins at a multiple of `ALIGNED`."""
    return sum(-(-piece.numel() // ALIGNED) * ALIGNED for piece in pieces)


def views_of(vector: Tensor, pieces: Sequence[Tensor]) -> list[Tensor]:
    """Successive parts of a vector, in the shapes of the pieces.

    What lies between them is zero, has no gradient and stays zero.
    """
    parts = vector.split([padded_size([piece]) for piece in pieces])
    return [
        part[: piece.numel()].view_as(piece)
        for part, piece in zip(parts, pieces, strict=True)
    ]


def spans_of(
    paces: list[Pace],
    sizes: list[int],
    first: int,
    last: int,
    most: int | None = None,
) -> Iterator[tuple[Pace, slice]]:
    """Cut a vector from `first` to `last` where the pace changes.

    No part is longer than `most`.
    """
    start = 0
    for pace, group in groupby(zip(paces, sizes, strict=True), lambda p: p[0]):
        end = start + sum(size for _, size in group)
        low, high = max(start, first), min(end, last)
        step = most or max(1, high - low)
        for part in range(low, high, step):
            yield pace, slice(part, min(high, part + step))
        start = end


def moved_back(span: slice, distance: int) -> slice:
    """Slice that starts and ends earlier."""
    return slice(span.start - distance, span.stop - distance)


def pairs(views: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each layer."""
    return list(zip(views[::2], views[1::2], strict=False))
