"""What many epochs, and many fits in one process, leave behind: nothing."""

import gc

import numpy as np
import psutil
import pytest
from sklearn.base import clone

from tests.estimators import ESTIMATORS, SMALL, name_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:GANSampler generates rows near"),
]

X = np.random.RandomState(0).randn(60, 4)
y = np.arange(60) % 4

FLAT = 1.05
"""Growth of the memory that counts as none."""


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


class Scales:
    """Callback that reads the memory after given epochs."""

    def __init__(self, *epochs):
        self.epochs = epochs
        self.bytes = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id + 1 in self.epochs:
            self.bytes.append(resident())


@pytest.mark.parametrize(
    "estimator",
    [e for e in ESTIMATORS if name_of(e) in ("AutoencoderTransformer", "GANSampler")],
    ids=name_of,
)
def test_2000_epochs_take_no_more_memory_than_500(estimator, record_property):
    scales = Scales(500, 2000)
    model = clone(estimator).set_params(max_iter=2000).set_callbacks(scales).fit(X, y)
    assert model.n_iter_ == 2000
    early, late = scales.bytes
    record_property(f"MiB of {name_of(estimator)}", [early >> 20, late >> 20])
    assert late < FLAT * early


def test_200_fits_take_no_more_memory_than_50(record_property):
    brief = clone(SMALL).set_params(max_iter=2)
    memory = {}
    for n in range(1, 201):
        model = clone(ESTIMATORS[n % len(ESTIMATORS)])
        for name in ("autoencoder", "encoder"):
            if name in model.get_params(deep=False):
                model.set_params(**{name: brief})
        model.fit(X, y)
        memory[n] = resident()
    record_property("MiB after 50 and 200 fits", [memory[n] >> 20 for n in (50, 200)])
    assert memory[200] < FLAT * memory[50]
