import numpy as np
import pytest
import torch
from scipy import sparse

from skdeep.training import Rows, in_chunks
from skdeep.training.inference import CHUNK_NUMBERS, CHUNK_ROWS, at_once, chunks

CPU = torch.device("cpu")


def plain_rows(X, device=CPU, resident=False):
    d = X.shape[1]
    return Rows(X, np.zeros(d), np.ones(d), device, resident=resident)


def table(n=2500, n_features=3):
    return np.random.RandomState(0).randn(n, n_features).astype(np.float32)


def recorded(function):
    """Return `function`, which notes the shapes of its arguments, and the notes."""
    seen = []

    def recording(x):
        seen.append(tuple(x.shape))
        return function(x)

    return recording, seen


@pytest.mark.parametrize(
    "function", [lambda x: 2 * x, lambda x: x.square().sum(1), torch.sin]
)
def test_chunks_give_what_one_pass_gives(function, device):
    X = table()
    recording, seen = recorded(function)
    found = in_chunks(recording, plain_rows(X, device))
    expected = function(torch.from_numpy(X).to(device)).cpu().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    most = at_once(CHUNK_ROWS, 3, device)
    assert seen == [(min(most, 2500 - n), 3) for n in range(0, 2500, most)]


@pytest.mark.parametrize("n", [1, 2, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1])
def test_chunks_cover_each_row_once_in_order(n):
    X = np.arange(n, dtype=np.float64).reshape(-1, 1)
    recording, seen = recorded(lambda x: x[:, 0])
    np.testing.assert_array_equal(in_chunks(recording, plain_rows(X)), X[:, 0])
    assert sum(size for size, _ in seen) == n
    assert len(seen) == -(-n // CHUNK_ROWS)


def test_wide_rows_pass_in_smaller_chunks():
    n_features = CHUNK_NUMBERS // 100
    recording, seen = recorded(lambda x: x.sum(1))
    wide = sparse.eye_array(250, n_features, format="csr")
    np.testing.assert_array_equal(in_chunks(recording, plain_rows(wide)), np.ones(250))
    assert [size for size, _ in seen] == [100, 100, 50]


def test_a_gpu_takes_more_rows_at_once():
    gpu = torch.device("cuda", 1)
    assert at_once(1024, 3, CPU) == at_once(1024, 10**6, CPU) == 1024
    assert at_once(1024, 3, gpu) == 16 * 1024
    assert at_once(1024, CHUNK_NUMBERS // 100, gpu) == 400
    assert at_once(1, 10**9, gpu) == 1


def test_a_row_wider_than_a_chunk_passes_alone():
    wide = sparse.csr_array((3, CHUNK_NUMBERS + 1))
    assert [(c.start, c.stop) for c in chunks(plain_rows(wide))] == [
        (0, 1),
        (1, 2),
        (2, 3),
    ]


def test_kinds_of_input_are_cut_at_the_same_places():
    X = table()
    expected = in_chunks(torch.sin, plain_rows(X))
    for rows in (plain_rows(X, resident=True), plain_rows(sparse.csr_matrix(X))):
        recording, seen = recorded(torch.sin)
        np.testing.assert_array_equal(in_chunks(recording, rows), expected)
        assert [size for size, _ in seen] == [1024, 1024, 452]


def test_no_gradients_are_kept():
    modes = []
    weight = torch.ones(3, requires_grad=True)

    def function(x):
        modes.append(torch.is_inference_mode_enabled())
        return x @ weight

    in_chunks(function, plain_rows(table(10)))
    assert modes == [True]
    assert not torch.is_inference_mode_enabled()


def test_result_takes_the_shape_and_type_of_the_function():
    rows = plain_rows(table(10))
    assert in_chunks(lambda x: x[:, :, None].expand(-1, -1, 2), rows).shape == (
        10,
        3,
        2,
    )
    assert in_chunks(lambda x: x.argmax(1), rows).dtype == np.int64
