"""What every test module shares: the devices there are, and a place for counts."""

import gc

import pytest
import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


def pytest_collection_finish():
    """Spare the garbage collector the modules, which it would search all along."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Print what tests counted, which a dot does not tell."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.line(f"{name}: {value}")
