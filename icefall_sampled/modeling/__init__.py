"""The networks."""

from icefall_sampled.modeling.transducer import Encoded, Losses, Transducer

__all__ = ["Encoded", "Losses", "Transducer"]
