r"""Monotone rational-quadratic splines: one operation, its pass back written out.

A spline maps :math:`[-B, B]` to itself through K bins and is the identity outside. Its
parameters are :math:`3 K - 1` real numbers u for each input: K widths, K heights and
the slopes at the K - 1 knots between the bins, all as damped logarithms,

.. math:: e = \exp \frac{u}{1 + |u| / c}

so that :math:`u = 0` is the identity, and none is more than :math:`e^{2c}` times
another. Widths and heights are divided by their sums: they, and the corners of the
bins, are parts of the unit interval, to which the domain is mapped first.

In the bin that x falls into, of width w, height h and lower corner :math:`(x_0, y_0)`,
with slopes :math:`d_0` and :math:`d_1` at its ends, :math:`s = h / w`,
:math:`\xi = (x - x_0) / w` and :math:`q = \xi (1 - \xi)`,

.. math::

    y = y_0 + h \frac{\alpha}{\beta}, \qquad
    \frac{dy}{dx} = \frac{s^2 \gamma}{\beta^2}, \qquad
    \alpha = s \xi^2 + d_0 q, \qquad
    \beta = s + D q, \qquad
    \gamma = d_1 \xi^2 + 2 s q + d_0 (1 - \xi)^2

with :math:`D = d_0 + d_1 - 2 s`: equations 4 and 5 of the paper.

Parameters lead in every tensor, ``(3 K - 1, m)`` for m inputs: sums over bins then add
long rows.

References
----------
C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, "Neural Spline Flows", NeurIPS 2019,
arXiv:1906.04032.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

BOUND = 4.0
"""B: flows whiten their data first."""

DAMPING = 3.5
"""c: bins a thousandth as wide as others still hold a thousand numbers of float32."""


def rational_quadratic(x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Map x, of any shape, by splines of ``(3 K - 1, *x.shape)`` parameters.

    Returns
    -------
    y, log_derivative : Tensor of the shape of x
    """
    return RationalQuadratic.apply(x, parameters)


@torch.no_grad()
def inverse_rational_quadratic(y: Tensor, parameters: Tensor) -> Tensor:
    r"""Return the x that `rational_quadratic` maps to y, without a gradient.

    In its bin, :math:`\xi` solves :math:`a \xi^2 + b \xi = c`: equations 6 to 8 of the
    paper.
    """
    v = unit_interval(y.flatten()).clamp_(0, 1)
    bins, _, _ = bins_of(parameters.flatten(1))
    at, _, _, _ = bin_at(bins, v, by_height=True)
    rise = v - at.y_0
    a = torch.addcmul(at.h * (at.s - at.d_0), rise, at.bend)
    b = torch.addcmul(at.h * at.d_0, rise, at.bend, value=-1)
    c = at.s * rise
    # Rounding may take what is under the root below zero.
    root = torch.addcmul(b * b, a, c, value=4).clamp_min_(0).sqrt_()
    xi = torch.div(c, b + root).mul_(2).clamp_(0, 1)
    change = torch.addcmul(at.x_0, xi, at.w).sub_(v)
    return torch.add(y, change.view_as(y), alpha=2 * BOUND)


def unit_interval(x: Tensor) -> Tensor:
    """Map the domain to the unit interval."""
    return torch.mul(x, 0.5 / BOUND).add_(0.5)


class Bins(NamedTuple):
    """All bins of m splines, before sizes are divided by their totals."""

    sizes: Tensor
    """Widths and heights, ``(2, K, m)``."""
    ends: Tensor
    """Their running sums, the upper corners, ``(2, K, m)``."""
    slopes: Tensor
    """At all knots, ``(K + 1, m)``: 1 at the first and the last."""


class Bin(NamedTuple):
    """The bin that the input of each of m splines falls into, in the letters above."""

    w: Tensor
    h: Tensor
    x_0: Tensor
    y_0: Tensor
    d_0: Tensor
    d_1: Tensor
    s: Tensor
    bend: Tensor
    """D."""


class Terms(NamedTuple):
    """The terms above, with `rest` for 1 - xi and `square` for xi squared."""

    xi: Tensor
    rest: Tensor
    q: Tensor
    square: Tensor
    alpha: Tensor
    beta: Tensor
    gamma: Tensor


def bins_of(parameters: Tensor) -> tuple[Bins, Tensor, Tensor]:
    """Return the bins, e and the damping 1 / (1 + |u| / c)."""
    n_bins = (len(parameters) + 1) // 3
    damping = parameters.abs().mul_(1 / DAMPING).add_(1).reciprocal_()
    e = torch.mul(parameters, damping).exp_()
    sizes = e[: 2 * n_bins].view(2, n_bins, -1)
    # torch adds up columns slowly; a triangle of ones does it as a product.
    ends = torch.matmul(e.new_ones(n_bins, n_bins).tril_(), sizes)
    slopes = pad(e[2 * n_bins :], (0, 0, 1, 1), value=1.0)
    return Bins(sizes, ends, slopes), e, damping


def bin_at(
    bins: Bins, v: Tensor, by_height: bool
) -> tuple[Bin, Tensor, Tensor, Tensor]:
    """Find the bin that each v, of the unit interval, falls into.

    Returns
    -------
    bin : Bin
    passed : Tensor of shape (K - 1, m)
        1 for each inner knot at or below v, else 0.
    k : Tensor of shape (1, m)
        Number of the bin.
    corner : Tensor of shape (2, m)
        Upper corner of the bin.
    """
    totals = bins.ends[:, -1]
    side = int(by_height)
    passed = torch.empty_like(bins.ends[0, :-1])
    torch.le(bins.ends[side, :-1], v * totals[side], out=passed)
    k = passed.sum(0, keepdim=True).long()
    both = k.expand(2, 1, -1)
    size = bins.sizes.gather(1, both).squeeze(1).div_(totals)
    corner = bins.ends.gather(1, both).squeeze(1).div_(totals)
    d_0 = bins.slopes[:-1].gather(0, k).squeeze(0)
    d_1 = bins.slopes[1:].gather(0, k).squeeze(0)
    w, h = size.unbind()
    s = h / w
    bend = (d_0 + d_1).sub_(s, alpha=2)
    x_0, y_0 = (corner - size).unbind()
    return Bin(w, h, x_0, y_0, d_0, d_1, s, bend), passed, k, corner


def terms_of(at: Bin, xi: Tensor) -> Terms:
    """Evaluate the terms of the formulas above."""
    rest = 1 - xi
    q, square = xi * rest, xi * xi
    alpha = torch.mul(at.s, square).addcmul_(at.d_0, q)
    beta = torch.addcmul(at.s, at.bend, q)
    gamma = torch.mul(at.d_1, square).addcmul_(at.s, q, value=2)
    gamma.addcmul_(at.d_0, rest * rest)
    return Terms(xi, rest, q, square, alpha, beta, gamma)


class RationalQuadratic(torch.autograd.Function):
    """The spline of inputs of any shape, with ``(3 K - 1, ...)`` parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and the logarithm of its derivative."""
        unit = unit_interval(x.flatten())
        v = unit.clamp(0, 1)
        bins, e, damping = bins_of(parameters.flatten(1))
        at, passed, k, corner = bin_at(bins, v, by_height=False)
        # Rounding may take xi out of its bin, where a steep spline would not rise.
        terms = terms_of(at, (v - at.x_0).div_(at.w).clamp_(0, 1))
        share = terms.alpha / terms.beta
        change = torch.addcmul(at.y_0, at.h, share).sub_(v)
        slope = (at.s / terms.beta).square_().mul_(terms.gamma)

        inside = torch.eq(unit, v, out=unit)
        saved = inside, e, damping, bins.ends[:, -1], passed, k, corner, share
        ctx.save_for_backward(*saved, *at, *terms)
        return torch.add(x, change.view_as(x), alpha=2 * BOUND), slope.log_().view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_y: Tensor, g_l: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the gradients of x and of the parameters.

        g_a stands for the derivative of the loss by a. What follows is the chain rule
        through the formulas above, from the last to the first. Outside of the domain
        the gradients of the parameters cancel.
        """
        inside, e, damping, totals, passed, k, corner, share = ctx.saved_tensors[:8]
        at, terms = Bin(*ctx.saved_tensors[8:16]), Terms(*ctx.saved_tensors[16:])
        shape, g_y, g_l = g_y.shape, g_y.flatten(), g_l.flatten()
        g = g_y * (2 * BOUND)  # of y in the unit interval

        # y = y_0 + h alpha / beta, and l = 2 log s + log gamma - 2 log beta.
        g_share = g * at.h
        g_alpha = g_share / terms.beta
        g_beta = torch.addcmul(g_l + g_l, g_share, share).div_(terms.beta).neg_()
        g_gamma = g_l / terms.gamma

        # alpha, beta and gamma depend on s, d_0, d_1 and xi.
        g_s = torch.addcmul(g_beta, g_alpha, terms.square)
        g_s.addcmul_(terms.q, g_gamma - g_beta, value=2).addcdiv_(g_l, at.s, value=2)
        g_d_0 = torch.mul(g_alpha + g_beta, terms.q)
        g_d_0.addcmul_(g_gamma, terms.rest * terms.rest)
        g_d_1 = torch.mul(g_beta, terms.q).addcmul_(g_gamma, terms.square)
        g_q = torch.mul(g_alpha, at.d_0).addcmul_(g_beta, at.bend)
        g_q.addcmul_(g_gamma, at.s, value=2)
        g_half_xi = torch.mul(at.d_1, terms.xi).addcmul_(at.d_0, terms.rest, value=-1)
        g_half_xi.mul_(g_gamma).addcmul_(g_alpha, at.s * terms.xi)
        g_xi = g_q.mul_(terms.rest - terms.xi).add_(g_half_xi, alpha=2)

        # s = h / w and xi = (v - x_0) / w, where the lower corner is the upper one
        # less the size.
        g_v = g_xi / at.w
        g_h = g_s.div_(at.w)  # through s
        g_size = torch.stack(
            (
                torch.mul(g_v, terms.rest).addcmul_(g_h, at.s, value=-1),
                torch.addcmul(g_h, g, share - 1),
            )
        )
        g_corner = torch.stack((-g_v, g))
        g_total = torch.mul(g_size, torch.stack((at.w, at.h)))
        g_total.addcmul_(g_corner, corner).div_(totals)
        g_corner.div_(totals)
        g_size.div_(totals).add_(g_corner)

        # All sizes add to the total, those below v to the corner, and one is the bin's.
        n_bins = len(passed) + 1
        g_e = torch.empty_like(e)
        g_sizes = g_e[: 2 * n_bins].view(2, n_bins, -1)
        torch.mul(passed, g_corner.unsqueeze(1), out=g_sizes[:, :-1])
        g_sizes[:, -1] = 0
        g_sizes.scatter_add_(1, k.expand(2, 1, -1), g_size.unsqueeze(1))
        g_sizes.sub_(g_total.unsqueeze(1))
        g_slopes = e.new_zeros(n_bins + 1, k.shape[1])
        g_slopes[:-1].scatter_(0, k, g_d_0.unsqueeze(0))
        g_slopes[1:].scatter_add_(0, k, g_d_1.unsqueeze(0))
        g_e[2 * n_bins :] = g_slopes[1:-1]

        # e = exp(u damping), where the damping takes part of the slope.
        g_parameters = g_e.mul_(e).mul_(damping).mul_(damping)
        g_x = torch.lerp(g_y, g_v.mul_(0.5 / BOUND), inside)
        return g_x.view(shape), g_parameters.view(-1, *shape)
