"""The networks."""

from icefall_sampled.modeling.transducer import Losses, Transducer

__all__ = ["Losses", "Transducer"]
