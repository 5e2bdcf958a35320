"""Deep clustering and representation learning as scikit-learn estimators."""

from skdeep._version import __version__
from skdeep.cluster import AEKMeans, DECClusterer, IDECClusterer
from skdeep.metrics import *  # noqa: F403
from skdeep.metrics import __all__ as _metrics
from skdeep.representation import AutoencoderTransformer

__all__ = [
    "AEKMeans",
    "AutoencoderTransformer",
    "DECClusterer",
    "IDECClusterer",
    "__version__",
    *_metrics,
]
