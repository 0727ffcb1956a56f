"""The output of the encoder for a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """The outputs of the encoder for a batch."""

    out: Tensor
    """(N, T, D)."""
    lengths: Tensor
    """(N,)."""
    taps: list[Tensor] = field(default_factory=list)
    """(N, T, D) after each intermediate layer."""
