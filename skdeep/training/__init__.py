"""The pass over the data: rows, batches, epochs, precision and the tasks of a fit."""

from skdeep.training.epochs import (
    OneCycle,
    epochs_for,
    gradient_step,
    n_batches,
    train,
    train_epoch,
)
from skdeep.training.inference import in_chunks
from skdeep.training.precision import products_in, resolved_precision
from skdeep.training.rows import Rows
from skdeep.training.tasks import FitTask, Phase
from skdeep.training.threads import bounded_threads

__all__ = [
    "FitTask",
    "OneCycle",
    "Phase",
    "Rows",
    "bounded_threads",
    "epochs_for",
    "gradient_step",
    "in_chunks",
    "n_batches",
    "products_in",
    "resolved_precision",
    "train",
    "train_epoch",
]
