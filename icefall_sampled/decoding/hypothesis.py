"""What decoding gives for an utterance."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Hypothesis:
    """A label sequence with the frames at which its labels were emitted."""

    tokens: list[int] = field(default_factory=list)
    """Label ids, no blank among them."""
    frames: list[int] = field(default_factory=list)
    """Encoder frame, counted from 0, of each label."""
    log_prob: float = 0.0
    """Log-probability of the alignment in nats, over the classes that decoding allowed."""
