"""The result of decoding an utterance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Hypothesis:
    """A label sequence with the frames at which its labels were emitted."""

    tokens: list[int] = field(default_factory=list)
    """Label ids, without blank."""
    frames: list[int] = field(default_factory=list)
    """Encoder frame of each label, counted from 0, in the most probable alignment found."""
    token_log_probs: list[float] = field(default_factory=list)
    """Log-probability in nats of each label at its node, over the classes that decoding allowed."""
    log_prob: float = 0.0
    """Log-probability in nats, blanks included: of one alignment in greedy and fast_beam search;
    summed over the alignments found in the other searches."""

    @property
    def confidence(self) -> float:
        """Between 0 and 1: the geometric mean of its labels' probabilities.

        Without labels it is the probability that there is none.
        """
        if not self.tokens:
            return math.exp(min(self.log_prob, 0.0))
        return math.exp(sum(self.token_log_probs) / len(self.tokens))
