"""The losses: transducer and CTC, in nats."""

from icefall_sampled.losses.chunks import chunk_mib, set_chunk_mib
from icefall_sampled.losses.ctc import ctc_loss
from icefall_sampled.losses.posterior_product import posterior_product
from icefall_sampled.losses.pruned import pruned_transducer_loss
from icefall_sampled.losses.transducer import transducer_loss

__all__ = [
    "chunk_mib",
    "ctc_loss",
    "posterior_product",
    "pruned_transducer_loss",
    "set_chunk_mib",
    "transducer_loss",
]
