"""From audio features to words."""

from icefall_sampled.decoding.searches.beam import beam_search
from icefall_sampled.decoding.searches.constraint import OutputLayer
from icefall_sampled.decoding.searches.fast_beam import fast_beam
from icefall_sampled.decoding.searches.greedy import GreedySearch, greedy
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.modified_beam import ModifiedBeamSearch, modified_beam
from icefall_sampled.decoding.searches.time_sync_beam import TimeSyncBeamSearch, time_sync_beam

__all__ = [
    "GreedySearch",
    "Hypothesis",
    "ModifiedBeamSearch",
    "OutputLayer",
    "TimeSyncBeamSearch",
    "beam_search",
    "fast_beam",
    "greedy",
    "modified_beam",
    "time_sync_beam",
]
