"""The version of skdeep."""

__version__ = "0.1.0.dev0"
