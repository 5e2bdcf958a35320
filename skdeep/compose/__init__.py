"""Tables as numbers and back, and samplers of rows in the units of the data."""

from skdeep.compose._sampler_pipeline import SamplerPipeline, make_sampler_pipeline
from skdeep.compose._tabular_encoder import TabularEncoder

__all__ = ["SamplerPipeline", "TabularEncoder", "make_sampler_pipeline"]
