"""Deep clustering, representations and generative models as scikit-learn estimators."""

from skdeep._version import __version__
from skdeep.callbacks import *  # noqa: F403
from skdeep.callbacks import __all__ as _callbacks
from skdeep.cluster import (
    AEKMeans,
    DCNClusterer,
    DECClusterer,
    IDECClusterer,
    NClustersSearch,
    SCANClusterer,
    VaDEClusterer,
    cluster_terms,
    explain_clusters,
)
from skdeep.compose import SamplerPipeline, TabularEncoder, make_sampler_pipeline
from skdeep.generative import (
    DiffusionSampler,
    FlowSampler,
    GANSampler,
    VAESampler,
    attribute_direction,
    interpolate,
    interpolated_codes,
)
from skdeep.inspection import *  # noqa: F403
from skdeep.inspection import __all__ as _inspection
from skdeep.io import *  # noqa: F403
from skdeep.io import __all__ as _io
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
    "DCNClusterer",
    "DECClusterer",
    "DeepInfoMaxTransformer",
    "DiffusionSampler",
    "FineTunedClassifier",
    "FlowSampler",
    "GANSampler",
    "IDECClusterer",
    "NClustersSearch",
    "SCANClusterer",
    "SamplerPipeline",
    "SimCLRTransformer",
    "TabularEncoder",
    "VAESampler",
    "VaDEClusterer",
    "__version__",
    "attribute_direction",
    "cluster_terms",
    "explain_clusters",
    "interpolate",
    "interpolated_codes",
    "make_sampler_pipeline",
    "mutual_information",
    *_callbacks,
    *_inspection,
    *_io,
    *_metrics,
]
