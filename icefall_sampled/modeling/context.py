"""The frames that an encoder frame may attend to: the chunks of a streaming encoder.

A frame attends to its own chunk and to some frames before it, but not to later chunks. So a chunk
can be encoded as soon as its input is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.audio import FRAME_SECONDS, WINDOW_SECONDS
from icefall_sampled.config import ConformerConfig
from icefall_sampled.errors import UserError
from icefall_sampled.modeling.subsampling import min_input_frames


@dataclass(frozen=True, kw_only=True)
class Context:
    """Chunk-wise attention; chunks are counted from the utterance's first frame."""

    chunk_frames: int = 0
    """Encoder frames of a chunk; 0 is the whole utterance."""
    left_context_frames: int = -1
    """Number of encoder frames before its chunk that a frame also attends to; -1 for all."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range."""
        if self.chunk_frames < 0:
            raise UserError(
                f"chunk_frames is {self.chunk_frames}, it must be positive, or 0 for the whole "
                "utterance"
            )
        if self.left_context_frames < -1:
            raise UserError(
                f"left_context_frames is {self.left_context_frames}, it must be at least 0, or -1 "
                "for all frames"
            )

    def hidden(self, num_frames: int, device: torch.device) -> Tensor | None:
        """(T, T), true where the row's frame must not attend to the column's; None for no mask."""
        if self.chunk_frames == 0:
            return None
        frame = torch.arange(num_frames, device=device)
        start = (frame - frame % self.chunk_frames)[:, None]
        hidden = frame >= start + self.chunk_frames
        if self.left_context_frames >= 0:
            hidden = hidden | (frame < start - self.left_context_frames)
        return hidden


def drawn_context(config: ConformerConfig) -> Context:
    """The context of one training batch: one of the config's chunk sizes, drawn uniformly.

    The draw uses torch's global generator, which is seeded for each process and saved in every
    checkpoint. An encoder with at most one chunk size draws nothing.
    """
    chunks = config.chunk_frames or (0,)
    chosen = int(torch.randint(len(chunks), ())) if len(chunks) > 1 else 0
    return Context(chunk_frames=chunks[chosen], left_context_frames=config.left_context_frames)


def widest_context(config: ConformerConfig) -> Context:
    """The widest context of training, used for utterances that are there as a whole."""
    chunk = 0 if 0 in config.chunk_frames else max(config.chunk_frames, default=0)
    return Context(chunk_frames=chunk, left_context_frames=config.left_context_frames)


def chosen_context(
    config: ConformerConfig, chunk_frames: int | None, left_context_frames: int | None
) -> Context:
    """The context that a user asks for; None takes the value of `widest_context`.

    Raises:
        ValueError: where a value is out of range, or this encoder cannot run in chunks.
    """
    trained = widest_context(config)
    context = Context(
        chunk_frames=trained.chunk_frames if chunk_frames is None else chunk_frames,
        left_context_frames=(
            trained.left_context_frames if left_context_frames is None else left_context_frames
        ),
    )
    check_context(config, context)
    return context


def check_context(config: ConformerConfig, context: Context) -> None:
    """Raise ValueError where this encoder cannot run in the chunks of this context."""
    if context.chunk_frames and not config.causal:
        raise UserError(
            f"chunk_frames is {context.chunk_frames}, it must be 0: this encoder was not trained "
            "for streaming (encoder.causal is false)"
        )


def look_ahead_frames(config: ConformerConfig) -> int:
    """Number of input frames after a chunk's own that its last encoder frame depends on."""
    return min_input_frames(config.subsampling) - config.subsampling


def chunk_latency_ms(config: ConformerConfig, chunk_frames: int) -> float:
    """The longest delay from a sound to its encoder frame, without computing time.

    The first sound of a chunk waits longest: for the rest of the chunk, for the look-ahead frames
    of subsampling, and for the part of the last frame's window beyond its 10 ms. The average
    delay is half a chunk shorter.
    """
    frames = chunk_frames * config.subsampling + look_ahead_frames(config)
    frame_ms, window_ms = 1000 * FRAME_SECONDS, 1000 * WINDOW_SECONDS
    return frames * frame_ms + (window_ms - frame_ms) / 2
