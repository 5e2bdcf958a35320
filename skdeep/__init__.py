"""Deep clustering, representation learning and generation as scikit-learn estimators."""

from skdeep._version import __version__
