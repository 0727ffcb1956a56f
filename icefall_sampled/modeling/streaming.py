"""A model's encoder for sound that is still arriving, where the encoder has a streaming twin.

The twin is what `encoder.stream(context)` returns; `ConformerStream` is ours.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from icefall_sampled.errors import UserError
from icefall_sampled.modeling.context import Context
from icefall_sampled.modeling.encoder import Tap
from icefall_sampled.modeling.outputs import Encoded
from icefall_sampled.modeling.transducer import Transducer


class Stream(Protocol):
    """The streaming twin of an encoder; its states are opaque and immutable."""

    context: Context
    latency_ms: float
    """The longest delay from a sound to its encoder frame, without computing time."""

    def initial_state(self, num: int) -> Any:
        """The state of `num` streams before any input, on the encoder's device."""

    def advance(
        self,
        features: Tensor,
        lengths: Tensor,
        state: Any,
        *,
        final: bool | Tensor = False,
        tap: Tap | None = None,
    ) -> tuple[Tensor, Tensor, Any]:
        """Encode the next piece of each stream; see `ConformerStream.advance`."""


def streaming_context(
    model: Transducer, chunk_frames: int | None, left_context_frames: int | None
) -> Context | None:
    """The context for streaming; None where the model was not trained for it.

    Args:
        model: any.
        chunk_frames: encoder frames of a chunk; None takes the smallest chunk of training.
        left_context_frames: encoder frames before it, -1 for all; None as in training.

    Raises:
        ValueError: where a value is out of range.
    """
    smallest = getattr(model.encoder, "smallest_chunk_frames", 0)
    if not smallest:
        return None
    context: Context = model.encoder.choose_context(  # type: ignore[attr-defined]
        chunk_frames or smallest, left_context_frames
    )
    return context


class StreamingEncoder:
    """Normalises features, and runs the twin of a model's encoder with its CTC head."""

    def __init__(self, model: Transducer, context: Context) -> None:
        """Start.

        Args:
            model: in eval mode.
            context: with chunks of at least one frame.

        Raises:
            ValueError: where the model's encoder cannot run in these chunks.
        """
        assert not model.training
        if not hasattr(model.encoder, "stream"):
            raise UserError(
                f"the model's encoder is {type(model.encoder).__name__}, which has no streaming "
                "twin (`stream`): it encodes whole utterances only"
            )
        self._model = model
        self._stream: Stream = model.encoder.stream(context)

    @property
    def context(self) -> Context:
        """What a frame attends to."""
        return self._stream.context

    @property
    def latency_ms(self) -> float:
        """The longest delay from a sound to its encoder frame, without computing time."""
        return self._stream.latency_ms

    def initial_state(self, num: int) -> Any:
        """The state of `num` streams before any input, on the model's device."""
        return self._stream.initial_state(num)

    @torch.no_grad()
    def advance(
        self, features: Tensor, lengths: Tensor, state: Any, *, final: bool | Tensor = False
    ) -> tuple[Encoded, Any]:
        """Encode the next piece of each stream.

        Args:
            features: (N, frames, 80), the next frames of each stream; padding may hold anything.
            lengths: (N,) frames of each, 0 for no new input.
            state: from `initial_state` or the last `advance`.
            final: (N,) true where a stream ends with this piece: its last chunk then comes out
                even if incomplete. A single bool applies to all streams.

        Returns:
            The new encoder frames of each stream, possibly none; the new state.

        Raises:
            ValueError: where the piece does not fit the state, or comes after a stream's end.
        """
        ctc = self._model.ctc
        taps: list[Tensor] = []
        tap = self._model.tap_into(taps) if ctc is not None and ctc.layers else None
        normalised = self._model.feature_norm(features, lengths)
        out, lengths, state = self._stream.advance(normalised, lengths, state, final=final, tap=tap)
        per_layer = len(ctc.layers) if tap is not None and ctc is not None else 0
        nothing = out.new_zeros(len(out), 0, out.shape[2])
        joined = [torch.cat([nothing, *taps[i::per_layer]], dim=1) for i in range(per_layer)]
        return Encoded(out, lengths, joined), state
