import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skdeep.cluster import (
    DCNClusterer,
    DECClusterer,
    IDECClusterer,
    SCANClusterer,
    VaDEClusterer,
)
from skdeep.cluster._steps import Start, assigned, refreshed_assignment, reseeded
from skdeep.objectives.clustering import soft_assignment, target_distribution
from skdeep.representation import AutoencoderTransformer
from skdeep.training import Rows

CLUSTERERS = [DCNClusterer, DECClusterer, IDECClusterer, SCANClusterer, VaDEClusterer]


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


def start_at(centroids, n_samples, weights=None):
    rows = Rows(np.zeros((n_samples, 1), dtype=np.float32), 0, 1, torch.device("cpu"))
    return Start(None, centroids, None, rows, None, weights=weights)


@pytest.fixture
def codes():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(70, 3, generator=rng), torch.randn(4, 3, generator=rng)


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr("skdeep.cluster._steps.ASSIGNED_NUMBERS", 4 * 16)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("weights", [None, np.arange(1.0, 71)])
def test_codes_are_assigned_in_parts_as_all_at_once(codes, weights):
    z, centroids = codes
    q = soft_assignment(z.double(), centroids.double(), 0.5)
    labels, frequency = assigned(start_at(centroids, 70, weights), z, 0.5)
    assert torch.equal(labels, q.argmax(1))
    repeats = torch.ones(70) if weights is None else torch.from_numpy(weights)
    torch.testing.assert_close(frequency, (repeats.unsqueeze(1) * q).sum(0))


@pytest.mark.parametrize("numbers_at_once", [2**18, 3 * 16])
@pytest.mark.parametrize("Clusterer", [DECClusterer, IDECClusterer])
def test_steps_aim_at_the_targets_of_the_last_refresh(
    Clusterer, numbers_at_once, monkeypatch
):
    monkeypatch.setattr("skdeep.cluster._steps.ASSIGNED_NUMBERS", numbers_at_once)
    X = np.random.RandomState(0).randn(90, 3).astype(np.float32)
    encoder = AutoencoderTransformer(2, hidden_layer_sizes=(8,), max_iter=5).fit(X)
    refreshed, steps = [], []
    deep_stage = Clusterer._deep_stage

    def watched(self, begin, noise_seed):
        optimizer, toward, refresh = deep_stage(self, begin, noise_seed)

        def refresh_watched(z):
            found = refresh(z)
            q = soft_assignment(z.double(), begin.centroids.detach().double())
            refreshed.append(target_distribution(q).float())
            return found

        def toward_watched(targets):
            step = toward(targets)

            def step_watched(index):
                steps.append((len(refreshed), index, targets(index)))
                return step(index)

            return step_watched

        return optimizer, toward_watched, refresh_watched

    monkeypatch.setattr(Clusterer, "_deep_stage", watched)
    model = Clusterer(3, autoencoder=FrozenEstimator(encoder), update_interval=2, tol=0)
    model.set_params(max_iter=6, batch_size=32, guard=False, random_state=0).fit(X)
    # Of three batches each: the first epoch, the second, two and two.
    numbers = [number for number, _, _ in steps]
    assert numbers == [0] * 3 + [1] * 3 + [2] * 6 + [3] * 6
    for number, index, p in steps[3:]:
        torch.testing.assert_close(p, refreshed[number - 1][index])


@pytest.mark.usefixtures("few_at_once")
def test_means_are_those_of_all_rows(codes):
    z, centroids = codes
    start = start_at(centroids, 70)
    labels = assigned(start, z, 1.0).labels
    refreshed_assignment(start, z, 1.0, "mean")
    expected = [z[labels == label].mean(0) for label in range(4)]
    torch.testing.assert_close(centroids, torch.stack(expected))


def test_emptied_clusters_move_to_far_rows():
    z = torch.tensor([[0.0, 0], [0, 1], [1, 0], [9, 9]])
    centroids = torch.tensor([[0.3, 0.3], [50, 50], [60, 60]])
    found = refreshed_assignment(start_at(centroids, len(z)), z, 1.0, "gradient")
    assert torch.equal(centroids[0], torch.tensor([0.3, 0.3]))
    assert torch.equal(centroids[1], z[3])
    assert len(found.labels.unique()) == 3


def test_emptied_centroids_move_to_far_rows_and_are_named():
    z = torch.tensor([[0.0, 0], [0, 1], [1, 0], [9, 9]])
    centroids = torch.tensor([[0.3, 0.3], [50, 50], [60, 60]])
    start = start_at(centroids, len(z))
    found, moved = reseeded(start, z, 1.0)
    assert moved.tolist() == [1, 2]
    assert torch.equal(centroids[1], z[3])
    assert len(found.labels.unique()) == 3
    _, moved = reseeded(start, z, 1.0)
    assert moved.tolist() == []


def test_far_rows_are_those_far_from_their_centroid_not_those_between_two():
    z = torch.tensor([[0.0, 0], [10, 0], [5, 0], [-8, 0]])
    centroids = torch.tensor([[0.0, 0], [10, 0], [99, 0]])
    reseeded(start_at(centroids, len(z)), z, 1.0)
    assert torch.equal(centroids[2], z[3])


@pytest.mark.filterwarnings("ignore:.*clusters without rows")
@pytest.mark.parametrize("Clusterer", CLUSTERERS)
def test_no_table_of_all_rows_and_clusters_is_made(Clusterer):
    X = np.random.RandomState(0).randn(6000, 3).astype(np.float32)
    encoder = AutoencoderTransformer(2, hidden_layer_sizes=(8,), max_iter=1)
    name = "encoder" if Clusterer is SCANClusterer else "autoencoder"
    model = Clusterer(100, n_init=1, max_iter=2).set_params(**{name: encoder})
    with LargestTensors() as largest:
        model.fit(X)
        model.predict(X)
    assert max(largest.sizes.values()) < 6000 * 100 / 2
