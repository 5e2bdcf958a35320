"""Samplers behind scikit-learn's transformers, in the units of the data."""

from skdeep.compose._sampler_pipeline import SamplerPipeline, make_sampler_pipeline

__all__ = ["SamplerPipeline", "make_sampler_pipeline"]
