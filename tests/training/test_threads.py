from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from skdeep.nn import MLP, ConvEncoder
from skdeep.training import Adam
from skdeep.training.threads import bounded_threads

SMALL, LARGE = MLP([4, 2]), MLP([1000, 1100])
CONVOLUTIONAL = ConvEncoder((1, 8, 8), [2], 3)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(
    ("networks", "expected"),
    [([SMALL], 1), ([SMALL, LARGE], 3), ([SMALL, CONVOLUTIONAL], 3)],
)
def test_small_dense_networks_take_one_thread(networks, expected):
    with bounded_threads(networks):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_callers_number_returns_after_an_exception():
    with pytest.raises(KeyError), bounded_threads([SMALL]):
        raise KeyError
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_nested_fits_give_the_number_back():
    with bounded_threads([SMALL]):
        with bounded_threads([SMALL]):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_fits_in_threads_at_once_leave_the_number_of_new_threads_alone():
    both_inside, first_left = Barrier(2), Barrier(2)

    def first():
        with bounded_threads([SMALL]):
            both_inside.wait()
        first_left.wait()
        return torch.get_num_threads()

    def second():
        with bounded_threads([SMALL]):
            both_inside.wait()
            first_left.wait()
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        found = [f.result() for f in [pool.submit(first), pool.submit(second)]]
    with ThreadPoolExecutor(1) as pool:
        found.append(pool.submit(torch.get_num_threads).result())
    assert found == [3, 3, 3]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_a_small_network_beside_a_large_one_does_not_slow_it():
    optimizers = [Adam([net], learning_rate=1e-3) for net in (CONVOLUTIONAL, SMALL)]
    with optimizers[0].training([SMALL]), optimizers[1].training([CONVOLUTIONAL]):
        assert torch.get_num_threads() == 3
    with optimizers[1].training():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_networks_count_once():
    network = MLP([300, 1000])
    with Adam([network], learning_rate=1e-3).training([network]):
        assert torch.get_num_threads() == 1
