"""From audio features to words."""

from icefall_sampled.decoding.constraint import OutputLayer
from icefall_sampled.decoding.greedy import greedy
from icefall_sampled.decoding.hypothesis import Hypothesis

__all__ = ["Hypothesis", "OutputLayer", "greedy"]
