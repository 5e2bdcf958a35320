import math

import pytest
import torch
from torch import Generator, nn

from skdeep.nn import Flow, initialized
from skdeep.nn.coupling import LARGEST_LOG_SCALE
from skdeep.nn.flow import levels_of

KINDS = {
    "spline": {"coupling": "spline"},
    "affine": {"coupling": "affine"},
    "additive": {"coupling": "additive"},
    "permuted": {"coupling": "spline", "mixing": "permutation"},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def built(n_features=5, seed=0, shaken=0.5, **arguments):
    """Build a flow whose weights and whitening are not those of the start."""
    rng = Generator().manual_seed(seed)
    arguments = {"n_couplings": 3, "hidden_layer_sizes": (8,), **arguments}
    flow = initialized(Flow, rng, n_features=n_features, **arguments)
    for parameter in flow.parameters():
        noise = torch.empty_like(parameter).uniform_(-shaken, shaken, generator=rng)
        parameter.data += noise
    n_columns, n_means = flow.whitening.means.shape
    root = torch.eye(n_columns) + 0.2 * torch.randn(n_columns, n_columns, generator=rng)
    flow.whitening.set(
        torch.arange(n_means) + torch.full((n_columns, 1), 0.3), root @ root.T
    )
    return flow.eval()


def rows(n, n_features, seed=1):
    return torch.randn(n, n_features, generator=Generator().manual_seed(seed))


@every_kind
@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_log_determinant_is_that_of_the_jacobian(kind, n_features):
    flow = built(n_features, **KINDS[kind]).double()
    x = rows(4, n_features).double()
    _, log_det = flow.map(x)
    for row, found in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda v: flow.map(v[None])[0][0], row
        )
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], found)


@every_kind
@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_inverse_gives_back_the_rows(kind, n_features):
    flow = built(n_features, shaken=0.3, **KINDS[kind])
    x = rows(200, n_features)
    with torch.no_grad():
        z, _ = flow(x)
        assert z.shape == x.shape
        assert (flow.inverse(z) - x).abs().max() < 1e-4


@pytest.mark.parametrize("image_shape", [(1, 4, 4), (2, 8, 6), (1, 7, 5), (1, 16, 16)])
@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_flows_of_images_can_be_inverted_and_have_the_right_determinant(
    image_shape, coupling
):
    n_features = math.prod(image_shape)
    flow = built(n_features, image_shape=image_shape, coupling=coupling, shaken=0.1)
    x = rows(6, n_features)
    with torch.no_grad():
        z, _ = flow(x)
        assert (flow.inverse(z) - x).abs().max() < 1e-3
    flow, x = flow.double(), x[:1].double()
    jacobian = torch.autograd.functional.jacobian(lambda v: flow.map(v)[0], x)
    expected = torch.linalg.slogdet(jacobian.view(n_features, n_features))[1]
    torch.testing.assert_close(flow.map(x)[1][0], expected)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5,), [(5,)]),
        ((3, 12, 8), [(12, 6, 4)]),  # halves of 6 and 4 would be too small
        ((1, 16, 16), [(4, 8, 8), (8, 4, 4)]),
        ((1, 64, 64), [(4, 32, 32), (8, 16, 16), (16, 8, 8)]),  # three at most
        ((3, 28, 28), [(12, 14, 14), (24, 7, 7)]),
    ],
)
def test_levels_turn_pixels_into_channels_of_which_half_leave(shape, expected):
    levels = levels_of(shape)
    assert [level.shape for level in levels] == expected
    *before, last = levels
    assert all(level.n_leaving == level.shape[0] // 2 for level in before)
    assert last.n_leaving == last.shape[0]
    sizes = [level.n_leaving * math.prod(level.shape[1:]) for level in levels]
    assert sum(sizes) == math.prod(shape)


@every_kind
def test_density_of_a_context_has_that_of_the_same_rows_elsewhere_unchanged(kind):
    flow = built(3, n_context=2, **KINDS[kind])
    x, context = rows(5, 3), torch.eye(2)[[0, 1, 0, 1, 0]]
    with torch.no_grad():
        together = flow.log_density(x, context)
        alone = torch.cat(
            [flow.log_density(x[i : i + 1], context[i : i + 1]) for i in range(5)]
        )
        other = flow.log_density(x, context.flip(1))
        z, _ = flow(x, context)
        torch.testing.assert_close(flow.inverse(z, context), x, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert (together - other).abs().max() > 1e-3


def test_a_single_column_depends_on_the_context():
    flow = built(1, n_context=2)
    x = torch.zeros(2, 1)
    with torch.no_grad():
        first, second = flow.log_density(x, torch.eye(2))
    assert first != second


@every_kind
def test_density_in_the_plane_integrates_to_one(kind):
    flow = built(2, **KINDS[kind])
    axis = torch.linspace(-12, 12, 400)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        total = flow.log_density(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=0.01)


@every_kind
def test_untrained_flow_is_the_gaussian_that_it_whitens(kind):
    flow = built(3, shaken=0.0, **KINDS[kind])
    factor = flow.whitening.factor.double()
    covariance = torch.linalg.inv(factor.T @ factor)
    gaussian = torch.distributions.MultivariateNormal(
        flow.whitening.means[:, 0].double(), covariance
    )
    x = rows(20, 3)
    with torch.no_grad():
        found = flow.log_density(x)
    torch.testing.assert_close(found, gaussian.log_prob(x.double()).float())


@every_kind
def test_every_parameter_gets_a_gradient(kind):
    flow = built(4, **KINDS[kind])
    flow.log_density(rows(30, 4)).mean().backward()
    for name, parameter in flow.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_affine_couplings_contract_and_expand_alike():
    flow = built(2, coupling="affine", shaken=0.0)
    flow.whitening.set(torch.zeros(2, 1), torch.eye(2))
    for sign in (-1, 1):
        for coupling in flow.levels[0].couplings:
            bias = coupling.conditioner.last.bias
            nn.init.zeros_(bias)
            with torch.no_grad():
                bias[1] = sign * 1e4
            with torch.no_grad():
                _, log_det = coupling(torch.zeros(2, 1), None)
            assert log_det.item() == pytest.approx(sign * LARGEST_LOG_SCALE, rel=1e-2)


def test_density_above_the_mode_of_the_base_can_be_learned():
    x = 0.01 * rows(256, 2)
    flow = built(2, coupling="affine", shaken=0.0, n_couplings=4)
    flow.whitening.set(torch.zeros(2, 1), torch.eye(2))
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -flow.log_density(x).mean()
        loss.backward()
        optimizer.step()
    assert -loss.item() > -math.log(2 * math.pi) + 3
