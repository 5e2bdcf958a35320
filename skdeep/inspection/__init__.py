"""Pictures of fitted models, by scikit-learn's convention of displays.

matplotlib is imported when a picture is drawn, not before.
"""

from skdeep.inspection._cluster_confusion import ClusterConfusionDisplay
from skdeep.inspection._density import DensityDisplay
from skdeep.inspection._embedding import EmbeddingDisplay
from skdeep.inspection._loss_curve import LossCurveDisplay
from skdeep.inspection._n_clusters import NClustersDisplay
from skdeep.inspection._reconstruction import ReconstructionDisplay
from skdeep.inspection._sample import SampleDisplay

__all__ = [
    "ClusterConfusionDisplay",
    "DensityDisplay",
    "EmbeddingDisplay",
    "LossCurveDisplay",
    "NClustersDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
]
