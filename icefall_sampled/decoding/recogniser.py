"""Streaming recognition: pieces of features in, hypotheses so far out.

Each chunk is searched as soon as it is encoded, by a search that keeps its state. So the result
does not depend on the sizes of the pieces. Without the CTC constraint, it equals the result of
`search` on whole utterances that were encoded with the same `Context`.

The CTC constraint is chosen anew for each chunk: the K classes of highest mean CTC posterior over
all frames so far, the chunk included. So it may exclude a label early in an utterance that the
posterior of the whole utterance would allow, and vice versa.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from icefall_sampled.config import SearchConfig
from icefall_sampled.decoding.blank_skip import skip_blanks
from icefall_sampled.decoding.searches.constraint import in_order
from icefall_sampled.decoding.searches.greedy import GreedySearch
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.decoding.searches.modified_beam import ModifiedBeamSearch
from icefall_sampled.decoding.searches.time_sync_beam import TimeSyncBeamSearch
from icefall_sampled.errors import UserError
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.modeling.context import Context
from icefall_sampled.modeling.streaming import StreamingEncoder
from icefall_sampled.sampling import top_k
from icefall_sampled.sampling.distribution import posterior_sum
from icefall_sampled.tokens import BLANK


class Search(Protocol):
    """A search whose frames may come in pieces."""

    def advance(
        self, encoder_out: Tensor, encoder_lengths: Tensor, *, allowed: Tensor | None = None
    ) -> None:
        """Decode further frames: (N, T, D) and (N,)."""

    def results(self, nbest: int | None = None) -> list[list[Hypothesis]]:
        """The n-best list of each utterance so far; all of it, or the best `nbest`."""


def begin_search(model: Transducer, num: int, config: SearchConfig) -> Search:
    """The search of N streams that the config names.

    Raises:
        UserError: where its frames cannot come in pieces.
    """
    if config.method == "greedy":
        return GreedySearch(model, num, max_symbols=config.max_symbols)
    options: dict[str, Any] = {
        name: getattr(config, name) for name in ("beam", "max_gap", "length_norm")
    }
    if config.method == "modified_beam":
        return ModifiedBeamSearch(model, num, **options)
    if config.method == "time_sync_beam":
        return TimeSyncBeamSearch(model, num, max_symbols=config.max_symbols, **options)
    raise UserError(
        f"method is {config.method}, it must be greedy, modified_beam or time_sync_beam to "
        "recognise a stream"
    )


class StreamingRecogniser:
    """Recognises N streams at once, each with its own beginning and end.

    Call `hear` for each new piece, and `results` at any time.
    """

    def __init__(
        self, model: Transducer, context: Context, config: SearchConfig, *, num: int = 1
    ) -> None:
        """Start N streams.

        Args:
            model: causal, in eval mode.
            context: with chunks of at least one frame.
            config: the search, one that `begin_search` knows.
            num: N.

        Raises:
            ValueError: where model, context and search do not suit a stream.
        """
        self._model, self._config = model, config
        self._encoder = StreamingEncoder(model, context)
        self._state = self._encoder.initial_state(num)
        self._search = begin_search(model, num, config)
        self._posterior = torch.zeros(
            num, model.vocab_size, dtype=torch.float64, device=self._state.done.device
        )
        self._done = torch.zeros_like(self._state.done)
        self._kept: list[list[int]] = [[] for _ in range(num)]

    @property
    def latency_ms(self) -> float:
        """The longest delay from a sound to its encoder frame, without computing time."""
        return self._encoder.latency_ms

    @property
    def done(self) -> list[int]:
        """Number of encoder frames of each stream that were searched."""
        return self._done.tolist()

    @torch.no_grad()
    def hear(self, features: Tensor, lengths: Tensor, *, final: bool | Tensor = False) -> None:
        """Recognise the next piece of each stream; see `StreamingEncoder.advance`."""
        encoded, self._state = self._encoder.advance(features, lengths, self._state, final=final)
        size = self._encoder.context.chunk_frames
        for start in range(0, encoded.out.shape[1], size):
            chunk = slice(start, start + size)
            self._decode(
                Encoded(
                    encoded.out[:, chunk],
                    (encoded.lengths - start).clamp(min=0, max=size),
                    [tap[:, chunk] for tap in encoded.taps],
                )
            )

    def results(self) -> list[list[Hypothesis]]:
        """N-best lists of what was searched so far; final for the streams that have ended."""
        found = self._search.results(self._config.nbest)
        if self._config.blank_skip < 1:
            for kept, best in zip(self._kept, found, strict=True):
                for hypothesis in best:
                    hypothesis.frames = [kept[frame] for frame in hypothesis.frames]
        return found

    def _decode(self, encoded: Encoded) -> None:
        """Search one chunk of each stream, any of which may be empty."""
        config, out, lengths, allowed = self._config, encoded.out, encoded.lengths, None
        if config.ctc_top_k or config.blank_skip < 1:
            log_probs = self._model.ctc_log_probs(encoded)
            if config.ctc_top_k:
                # The sum ranks classes as the mean does.
                self._posterior += posterior_sum(log_probs, lengths)
                allowed = in_order(top_k(self._posterior, config.ctc_top_k))
            if config.blank_skip < 1:
                blank = log_probs[..., BLANK]
                kept = skip_blanks(out, lengths, blank, threshold=config.blank_skip)
                self._remember(kept.frames, kept.lengths)
                out, lengths = kept.encoder_out, kept.lengths
        self._search.advance(out, lengths, allowed=allowed)
        self._done += encoded.lengths

    def _remember(self, frames: Tensor, lengths: Tensor) -> None:
        """Store the numbers, in their streams, of the frames that the search gets."""
        rows = zip((frames + self._done[:, None]).tolist(), lengths.tolist(), strict=True)
        for kept, (numbers, length) in zip(self._kept, rows, strict=True):
            kept += numbers[:length]
