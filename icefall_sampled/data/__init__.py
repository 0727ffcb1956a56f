"""From lhotse cuts, in a manifest or in Shar, to padded batches.

Utterances that cannot be used (unreadable, empty, more labels than frames and, in training, an
unknown token) are left out and reported by id; `Rejects` counts them and stops the run when they
are too many.
"""

from icefall_sampled.data.batch import Batch, Utterances
from icefall_sampled.data.cuts import input_frames, is_speed_perturbed, read_cuts, text_of
from icefall_sampled.data.filter import usable_cuts, why_unusable
from icefall_sampled.data.rejects import Rejects

__all__ = [
    "Batch",
    "Rejects",
    "Utterances",
    "input_frames",
    "is_speed_perturbed",
    "read_cuts",
    "text_of",
    "usable_cuts",
    "why_unusable",
]
