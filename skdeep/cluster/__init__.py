"""Deep clustering: an embedding and its clusters, learned together."""

from skdeep.cluster._aekmeans import AEKMeans
from skdeep.cluster._dec import DECClusterer
from skdeep.cluster._idec import IDECClusterer

__all__ = ["AEKMeans", "DECClusterer", "IDECClusterer"]
