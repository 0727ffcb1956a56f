"""The common entry to all searches: encoder output in, n-best lists out.

The CTC constraint and blank skip are prepared here, in the same way for each method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from icefall_sampled.decoding.beam import beam_search
from icefall_sampled.decoding.blank_skip import KeptFrames, skip_blanks
from icefall_sampled.decoding.constraint import in_order
from icefall_sampled.decoding.ctc_posteriors import ctc_posteriors
from icefall_sampled.decoding.fast_beam import fast_beam
from icefall_sampled.decoding.greedy import greedy
from icefall_sampled.decoding.hypothesis import Hypothesis
from icefall_sampled.decoding.modified_beam import modified_beam
from icefall_sampled.decoding.time_sync_beam import time_sync_beam
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.sampling import top_k


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search method and its limits."""

    method: Literal["greedy", "beam", "time_sync_beam", "modified_beam", "fast_beam"] = "greedy"
    """Greedy; Graves' beam search (the paper's); time_sync_beam, which finds the same in a fraction
    of the time; modified beam search, at most one label per frame; or k2's fast beam search, also
    at most one label per frame, for stateless predictors."""
    beam: int = 10
    """Hypotheses that a beam search keeps; in fast_beam, contexts (the last labels)."""
    max_gap: float = 6.0
    """Beam searches but Graves' drop hypotheses this many nats behind the best; inf for never."""
    length_norm: bool = True
    """Whether hypotheses are ordered by nats per label."""
    ctc_top_k: int = 0
    """Allow only the K classes of highest mean CTC posterior, blank included; 0 for all."""
    blank_skip: float = 1.0
    """Frames whose CTC blank posterior is above this are not decoded; 1 decodes all."""
    max_symbols: int = 10
    """Most labels at one frame; always 1 in modified and fast beam search."""
    nbest: int = 1
    """Hypotheses of each utterance that are kept, the best first."""

    def validate(self) -> None:
        """Raise ValueError for the first field that cannot work."""
        for name, value, legal, rule in self._rules():
            if not legal:
                raise ValueError(f"{name} is {value}, it must be {rule}")

    def _rules(self) -> list[tuple[str, object, bool, str]]:
        return [
            ("beam", self.beam, self.beam >= 1, "at least 1"),
            ("max_gap", self.max_gap, self.max_gap > 0, "positive"),
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
        encoded: the result of `model.encode`.
        config: how to search; the caller has validated it.

    Returns:
        For each of N utterances at least one hypothesis and at most `nbest`, the best first.

    Raises:
        ValueError: where the constraint or blank skip needs a CTC head and the model has none.
    """
    allowed, kept = None, _every_frame(encoded)
    if config.ctc_top_k or config.blank_skip < 1:
        posterior, blank = ctc_posteriors(model, encoded)
        if config.ctc_top_k:
            allowed = in_order(top_k(posterior, config.ctc_top_k))
        if config.blank_skip < 1:
            kept = skip_blanks(encoded.out, encoded.lengths, blank, threshold=config.blank_skip)
    function, fields = _METHODS[config.method]
    options = {name: getattr(config, name) for name in fields}
    found = function(model, kept.encoder_out, kept.lengths, allowed=allowed, **options)
    return [
        [kept.in_time(row, hypothesis) for hypothesis in best[: config.nbest]]
        for row, best in enumerate(found)
    ]


def _every_frame(encoded: Encoded) -> KeptFrames:
    N, T, _ = encoded.out.shape
    every = torch.arange(T, device=encoded.out.device).expand(N, T)
    return KeptFrames(encoded.out, encoded.lengths, every)


def _greedy_lists(*arguments: Any, **options: Any) -> list[list[Hypothesis]]:
    return [[hypothesis] for hypothesis in greedy(*arguments, **options)]


_METHODS: dict[str, tuple[Callable[..., list[list[Hypothesis]]], tuple[str, ...]]] = {
    "greedy": (_greedy_lists, ("max_symbols",)),
    "beam": (beam_search, ("beam", "max_symbols", "length_norm")),
    "time_sync_beam": (time_sync_beam, ("beam", "max_symbols", "max_gap", "length_norm", "nbest")),
    "modified_beam": (modified_beam, ("beam", "max_gap", "length_norm", "nbest")),
    "fast_beam": (fast_beam, ("beam", "max_gap", "length_norm", "nbest")),
}
"""The function of each method, and which fields of the config it takes."""
