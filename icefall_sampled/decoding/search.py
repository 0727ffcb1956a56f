"""The common entry to all searches: encoder output in, n-best lists out.

The CTC constraint and blank skip are prepared here, in the same way for each method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from icefall_sampled.config import SearchConfig
from icefall_sampled.decoding.blank_skip import KeptFrames, skip_blanks
from icefall_sampled.decoding.ctc_posteriors import ctc_posteriors
from icefall_sampled.decoding.searches.beam import beam_search
from icefall_sampled.decoding.searches.constraint import in_order
from icefall_sampled.decoding.searches.fast_beam import fast_beam
from icefall_sampled.decoding.searches.greedy import greedy
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.modified_beam import modified_beam
from icefall_sampled.decoding.searches.time_sync_beam import time_sync_beam
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.sampling import top_k


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
