"""The CTC posteriors that the CTC constraint and blank skip need."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.tokens import BLANK


@torch.no_grad()
def ctc_posteriors(model: Transducer, encoded: Encoded) -> tuple[Tensor, Tensor]:
    """The mean posterior of each utterance, and blank's log-probability at each frame.

    Utterances are processed one at a time. The posteriors of a whole batch would be by far the
    largest tensor of a search, and with a large vocabulary they would slow greedy search down.

    Args:
        model: with a CTC head.
        encoded: N utterances of up to T frames.

    Returns:
        (N, V), zeros for an utterance without frames, and (N, T) in nats, zeros beyond its frames.

    Raises:
        ValueError: where the model has no CTC head.
    """
    mean = encoded.out.new_zeros(len(encoded.out), model.vocab_size)
    blank = encoded.out.new_zeros(encoded.out.shape[:2])
    for n, length in enumerate(encoded.lengths.tolist()):
        taps = [tap[n : n + 1, :length] for tap in encoded.taps]
        one = Encoded(encoded.out[n : n + 1, :length], encoded.lengths[n : n + 1], taps)
        log_probs = model.ctc_log_probs(one)[0]
        blank[n, :length] = log_probs[:, BLANK]
        mean[n] = log_probs.exp().sum(dim=0) / max(length, 1)
    return mean, blank
