"""The networks."""

from icefall_sampled.modeling.outputs import Encoded, Losses
from icefall_sampled.modeling.transducer import Transducer

__all__ = ["Encoded", "Losses", "Transducer"]
