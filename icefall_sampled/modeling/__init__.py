"""The networks."""

from icefall_sampled.modeling.encoder import Encoder
from icefall_sampled.modeling.factories import Factories
from icefall_sampled.modeling.outputs import Encoded
from icefall_sampled.modeling.predictor import Predictor
from icefall_sampled.modeling.transducer import Transducer

__all__ = ["Encoded", "Encoder", "Factories", "Predictor", "Transducer"]
