import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skdeep.cluster import DCNClusterer, DECClusterer, IDECClusterer
from skdeep.cluster._steps import Start, assigned, refreshed_assignment
from skdeep.objectives.clustering import soft_assignment, target_distribution
from skdeep.representation import AutoencoderTransformer
from skdeep.training import Rows


class LargestTensors(TorchDispatchMode):
    """Numbers of the largest tensor of each type that any operation returns."""

    def __init__(self):
        super().__init__()
        self.sizes = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                largest = max(self.sizes.get(leaf.dtype, 0), leaf.numel())
                self.sizes[leaf.dtype] = largest
        return out


@pytest.fixture
def codes():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(70, 3, generator=rng), torch.randn(4, 3, generator=rng)


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr("skdeep.cluster._steps.ASSIGNED_NUMBERS", 4 * 16)


@pytest.mark.usefixtures("few_at_once")
def test_codes_are_assigned_in_parts_as_all_at_once(codes):
    z, centroids = codes
    expected = soft_assignment(z.double(), centroids.double(), 0.5)
    q, labels = assigned(z, centroids, 0.5)
    assert q.dtype == torch.float32
    torch.testing.assert_close(q, expected.float())
    assert torch.equal(labels, expected.argmax(1))


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("weights", [None, np.arange(1.0, 71)])
def test_targets_in_parts_have_the_frequencies_of_all_rows(codes, weights):
    q = soft_assignment(*codes)
    rows = Rows(np.zeros((70, 1), dtype=np.float32), 0, 1, torch.device("cpu"))
    start = Start(None, codes[1], None, rows, None, weights=weights)
    repeats = torch.ones(70) if weights is None else torch.from_numpy(weights)
    expected = target_distribution(q, (repeats.unsqueeze(1) * q).sum(0).float())
    torch.testing.assert_close(start.targets(q.clone()), expected)


@pytest.mark.usefixtures("few_at_once")
def test_means_are_those_of_all_rows(codes):
    z, centroids = codes
    labels = assigned(z, centroids, 1.0).labels
    refreshed_assignment(z, centroids, 1.0, "mean")
    expected = [z[labels == label].mean(0) for label in range(4)]
    torch.testing.assert_close(centroids, torch.stack(expected))


@pytest.mark.filterwarnings("ignore:.*clusters without rows")
@pytest.mark.parametrize("Clusterer", [DECClusterer, IDECClusterer, DCNClusterer])
def test_no_exact_table_of_all_rows_and_clusters_is_made(Clusterer):
    X = np.random.RandomState(0).randn(6000, 3).astype(np.float32)
    encoder = AutoencoderTransformer(2, hidden_layer_sizes=(8,), max_iter=1)
    model = Clusterer(100, autoencoder=encoder, init="kmeans", n_init=1, max_iter=2)
    with LargestTensors() as largest:
        model.fit(X)
        model.predict(X)
    assert largest.sizes[torch.float32] == 6000 * 100  # the targets
    assert largest.sizes[torch.float64] < 6000 * 100 / 2
