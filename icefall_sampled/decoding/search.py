"""One way into every search: what the encoder gave in, n-best lists out.

The CTC constraint and blank skip are prepared here, alike for each method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from icefall_sampled.decoding.blank_skip import KeptFrames, skip_blanks
from icefall_sampled.decoding.greedy import greedy
from icefall_sampled.decoding.hypothesis import Hypothesis
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.sampling import top_k
from icefall_sampled.tokens import BLANK


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Which hypotheses are looked for, and among what."""

    method: Literal["greedy"] = "greedy"
    """Search."""
    ctc_top_k: int = 0
    """Allow only the K classes of highest mean CTC posterior, blank included; 0 for all."""
    blank_skip: float = 1.0
    """Frames whose CTC blank posterior is above this are not decoded; 1 decodes all."""
    max_symbols: int = 10
    """Labels at one frame at the most."""
    nbest: int = 1
    """Hypotheses of each utterance that are kept, the best first."""

    def validate(self) -> None:
        """Raise ValueError for the first field that cannot work."""
        for name, value, legal, rule in self._rules():
            if not legal:
                raise ValueError(f"{name} is {value}, it must be {rule}")

    def _rules(self) -> list[tuple[str, object, bool, str]]:
        return [
            ("ctc_top_k", self.ctc_top_k, self.ctc_top_k >= 0, "0 or a number of classes"),
            ("blank_skip", self.blank_skip, 0 < self.blank_skip <= 1, "above 0 and at most 1"),
            ("max_symbols", self.max_symbols, self.max_symbols >= 1, "at least 1"),
            ("nbest", self.nbest, self.nbest >= 1, "at least 1"),
        ]


@torch.no_grad()
def search(model: Transducer, encoded: Encoded, config: SearchConfig) -> list[list[Hypothesis]]:
    """Decode a batch.

    Args:
        model: in eval mode.
        encoded: what `model.encode` gave.
        config: how; it is validated by its maker.

    Returns:
        For each of N utterances at least one hypothesis and at most `nbest`, the best first.

    Raises:
        ValueError: where the constraint or blank skip needs a CTC head that the model has not.
    """
    allowed = top_k(model.mean_posterior(encoded), config.ctc_top_k) if config.ctc_top_k else None
    kept = _kept(model, encoded, config.blank_skip)
    found = _METHODS[config.method](model, kept.encoder_out, kept.lengths, allowed, config)
    return [
        [kept.in_time(row, hypothesis) for hypothesis in best[: config.nbest]]
        for row, best in enumerate(found)
    ]


def _kept(model: Transducer, encoded: Encoded, threshold: float) -> KeptFrames:
    if threshold < 1:
        blank = model.ctc_log_probs(encoded)[..., BLANK]
        return skip_blanks(encoded.out, encoded.lengths, blank, threshold=threshold)
    N, T, _ = encoded.out.shape
    every = torch.arange(T, device=encoded.out.device).expand(N, T)
    return KeptFrames(encoded.out, encoded.lengths, every)


Method = Callable[[Transducer, Tensor, Tensor, Tensor | None, SearchConfig], list[list[Hypothesis]]]


def _greedy(
    model: Transducer, out: Tensor, lengths: Tensor, allowed: Tensor | None, config: SearchConfig
) -> list[list[Hypothesis]]:
    best = greedy(model, out, lengths, allowed=allowed, max_symbols=config.max_symbols)
    return [[hypothesis] for hypothesis in best]


_METHODS: dict[str, Method] = {"greedy": _greedy}
