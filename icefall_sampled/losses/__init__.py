"""The losses: transducer and CTC, in nats."""

from icefall_sampled.losses.ctc import ctc_loss
from icefall_sampled.losses.transducer import transducer_loss

__all__ = ["ctc_loss", "transducer_loss"]
