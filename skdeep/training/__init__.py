"""The pass over the data: rows, batches, epochs, precision and the tasks of a fit."""

from skdeep.training.checkpoints import Store
from skdeep.training.epochs import (
    Batches,
    OneCycle,
    descend,
    n_batches,
    train,
    train_epoch,
)
from skdeep.training.graphs import Step, changing, depends_on_host
from skdeep.training.inference import at_once, drawn_in_chunks, in_chunks
from skdeep.training.modes import learning
from skdeep.training.moving import Thing
from skdeep.training.optimizer import BETAS, Adam
from skdeep.training.precision import multiplies_bfloat16
from skdeep.training.rows import Rows
from skdeep.training.tasks import FitTask, Phase, fit_task_of
from skdeep.training.weights import AveragedWeights, BestWeights, applied

__all__ = [
    "BETAS",
    "Adam",
    "AveragedWeights",
    "Batches",
    "BestWeights",
    "FitTask",
    "OneCycle",
    "Phase",
    "Rows",
    "Step",
    "Store",
    "Thing",
    "applied",
    "at_once",
    "changing",
    "depends_on_host",
    "descend",
    "drawn_in_chunks",
    "fit_task_of",
    "in_chunks",
    "learning",
    "multiplies_bfloat16",
    "n_batches",
    "train",
    "train_epoch",
]
