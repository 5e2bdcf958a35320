"""Deep clustering: an embedding and its clusters, learned together."""

from skdeep.cluster._aekmeans import AEKMeans
from skdeep.cluster._dcn import DCNClusterer
from skdeep.cluster._dec import DECClusterer
from skdeep.cluster._explanation import cluster_terms, explain_clusters
from skdeep.cluster._idec import IDECClusterer
from skdeep.cluster._n_clusters_search import NClustersSearch
from skdeep.cluster._scan import SCANClusterer
from skdeep.cluster._vade import VaDEClusterer

__all__ = [
    "AEKMeans",
    "DCNClusterer",
    "DECClusterer",
    "IDECClusterer",
    "NClustersSearch",
    "SCANClusterer",
    "VaDEClusterer",
    "cluster_terms",
    "explain_clusters",
]
