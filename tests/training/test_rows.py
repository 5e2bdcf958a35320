import numpy as np
import pytest
import torch
from scipy import sparse

from skdeep.base import NUMBERS
from skdeep.scaling import fitted_scaling
from skdeep.training import Rows

SHAPE = (50, 4)


def table(dtype=np.float64):
    X = 10 * np.random.RandomState(0).randn(*SHAPE)
    return X.astype(dtype)


def scaling():
    rng = np.random.RandomState(1)
    return rng.randn(SHAPE[1]), 1 + rng.rand(SHAPE[1])


def on_disk(X, path):
    mapped = np.memmap(path, X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    return np.memmap(path, X.dtype, "r", shape=X.shape)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_rows_are_scaled_float32_tensors(dtype, resident, device):
    X = np.abs(table()).astype(dtype)
    offset, scale = scaling()
    rows = Rows(X, offset, scale, device, resident=resident)
    found = rows[:]
    assert found.dtype == torch.float32
    assert found.device.type == device.type
    assert len(rows) == SHAPE[0]
    assert rows.n_features == SHAPE[1]
    expected = (X.astype(np.float64) - offset) / scale
    np.testing.assert_allclose(found.cpu(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_constants_are_read_as_such_whatever_they_hold(kind, resident, device):
    X = table()
    X[:, [0, 2]] = [3.0, 0.0]
    moved = X + np.array([1e200, 0, -7, 0])
    whitening = np.diag([1.0, 2, 3, 4])
    given = *scaling(), device, resident, whitening, 2.0**50
    rows = Rows(kind(moved), *given, constants=np.array([3, np.nan, 0, np.nan]))
    assert torch.equal(rows[:], Rows(kind(X), *given)[:])
    free = Rows(kind(moved), *given, constants=np.full(4, np.nan))
    assert torch.equal(free[:], Rows(kind(moved), *given)[:])


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["csr matrix", "csr array", "memmap", "fortran"])
def test_kinds_of_input_give_the_bits_of_the_dense_one(kind, dtype, resident, tmp_path):
    X = table(dtype) * (np.random.RandomState(2).rand(*SHAPE) < 0.5)
    given = {
        "csr matrix": sparse.csr_matrix,
        "csr array": sparse.csr_array,
        "memmap": lambda X: on_disk(X, tmp_path / "X"),
        "fortran": np.asfortranarray,
    }[kind](X)
    cpu = torch.device("cpu")
    rows = Rows(given, *scaling(), cpu, resident=resident)
    expected = Rows(X, *scaling(), cpu)
    index = torch.tensor([3, 3, 49, 0])
    assert torch.equal(rows[:], expected[:])
    assert torch.equal(rows[5:9], expected[5:9])
    assert torch.equal(rows[index], expected[index])


@pytest.mark.parametrize("resident", [False, True])
def test_slices_and_row_numbers_give_the_rows_they_name(resident, device):
    rows = Rows(table(), *scaling(), device, resident=resident)
    everything = rows[:].cpu()
    index = torch.tensor([7, 0, 7, 49])
    assert torch.equal(rows[10:13].cpu(), everything[10:13])
    assert torch.equal(rows[48:60].cpu(), everything[48:])
    assert torch.equal(rows[index].cpu(), everything[index])
    assert torch.equal(rows[index.to(device)].cpu(), everything[index])
    assert torch.equal(rows[torch.tensor([4])].cpu(), everything[4:5])
    assert rows[torch.tensor([], dtype=torch.int64)].shape == (0, SHAPE[1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_resident_rows_are_those_read_batch_by_batch(dtype, device):
    X = table(dtype)
    read = Rows(X, *scaling(), device)
    resident = Rows(X, *scaling(), device, resident=True)
    batch = torch.tensor([8, 1, 30])
    assert torch.equal(resident[:], read[:])
    assert torch.equal(resident[batch], read[batch])
    before = read[:]
    X += 1
    assert torch.equal(resident[:], before)  # a copy
    assert not torch.equal(read[:], before)  # no copy


def test_data_larger_than_the_capacity_are_not_copied(monkeypatch):
    monkeypatch.setattr("skdeep.training.rows.RESIDENT_BYTES", 4 * 50 * 4 - 1)
    X, cpu = table(), torch.device("cpu")
    rows = Rows(X, *scaling(), cpu, resident=True)
    before = rows[:]
    X += 1
    assert not torch.equal(rows[:], before)


def test_input_is_not_changed(device):
    offset, scale = scaling()
    for X in (table(), table(np.float32)):
        kept = X.copy(), offset.copy(), scale.copy()
        rows = Rows(X, offset, scale, device, resident=True)
        rows[:].add_(1)
        Rows(X, offset, scale, device)[:].add_(1)
        for now, before in zip((X, offset, scale), kept, strict=True):
            np.testing.assert_array_equal(now, before)


def test_read_only_input_is_read():
    X = table()
    X.flags.writeable = False
    assert torch.isfinite(Rows(X, *scaling(), torch.device("cpu"))[:]).all()


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.int32])
def test_time_stamps_keep_their_differences(dtype, resident, device):
    seconds = np.random.RandomState(0).permutation(100)
    X = (1_700_000_000 + seconds).reshape(-1, 1).astype(dtype)
    offset, scale = fitted_scaling(X, "standard")
    rows = Rows(X, offset, scale, device, resident=resident)
    expected = (seconds - seconds.mean()) / seconds.std()
    np.testing.assert_allclose(rows[:].cpu().ravel(), expected, rtol=1e-6, atol=1e-6)


def test_offsets_beyond_float32_keep_their_differences(device):
    X = 1e12 + np.arange(10.0).reshape(-1, 1)
    rows = Rows(X, np.array([1e12]), np.ones(1), device)
    np.testing.assert_array_equal(rows[:].cpu().ravel(), np.arange(10.0))


@pytest.mark.parametrize("resident", [False, True])
def test_scalings_that_float32_cannot_hold_are_those_of_float64(resident, device):
    X = np.array([[-1e38, 1e-44], [3.3e38, 0]], np.float32)
    offset, scale = np.array([-2e37, 2e-45]), np.array([1e38, 4e-45])
    found = Rows(X, offset, scale, device, resident=resident)[:]
    expected = (X.astype(np.float64) - offset) / scale
    np.testing.assert_allclose(found.cpu(), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_rows_that_are_too_far_are_at_the_bound(kind, dtype, device):
    X = kind(np.array([[-3e38, 1.0], [3e38, 0]], dtype))
    rows = Rows(X, np.zeros(2), np.array([1e-3, 1]), device, farthest=2.0**50)
    np.testing.assert_array_equal(rows[:].cpu(), [[-(2.0**50), 1], [2.0**50, 0]])
