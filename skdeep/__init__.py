"""Deep clustering and representation learning as scikit-learn estimators."""

from skdeep._version import __version__
from skdeep.cluster import AEKMeans, DECClusterer, IDECClusterer
from skdeep.metrics import *  # noqa: F403
from skdeep.metrics import __all__ as _metrics
from skdeep.representation import (
    AutoencoderTransformer,
    DeepInfoMaxTransformer,
    FineTunedClassifier,
    SimCLRTransformer,
    mutual_information,
)

__all__ = [
    "AEKMeans",
    "AutoencoderTransformer",
    "DECClusterer",
    "DeepInfoMaxTransformer",
    "FineTunedClassifier",
    "IDECClusterer",
    "SimCLRTransformer",
    "__version__",
    "mutual_information",
    *_metrics,
]
