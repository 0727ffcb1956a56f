"""What a model asks of its encoder, whoever wrote it: docs/encoders.md shows others than ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.errors import UserError

Tap = Callable[[int, Tensor, Tensor], Tensor]
"""tap(block, x, lengths): called with the output of each block, (N, T, D), its number counted from
1, and (N,) lengths; what it returns is the input of the next block."""

_SPAN_FRAMES = 720_720  # divisible by every number up to 16


class Encoder(Protocol):
    """Any `nn.Module` with these members.

    Lengths count valid frames: a mask for attention or convolutions is the encoder's to make
    (`lengths.padding_mask` is true at padding). Frames within the lengths must not
    depend on how far a batch is padded. Every weight must take part in the output; one that does
    not needs `requires_grad = False`, or training in several processes ends.

    What follows is optional, and asked for only where it is used:

    - `raw_features = True`, for features that are not normalised;
    - `num_blocks` and the argument `tap` of `forward`, for Intermediate and self-conditioned CTC;
    - `context` and `choose_context(chunk_frames, left_context_frames)`, for decoding in chunks;
    - `stream(context)`, its streaming twin (see `modeling.streaming`), and
      `smallest_chunk_frames`, that of training.
    """

    width: int
    """D of its output."""
    min_input_frames: int
    """The fewest input frames that give one encoder frame."""

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """(N,) input frames -> (N,) encoder frames.

        The filter of the data asks before any training, and the times of words come from it.
        """

    def __call__(self, features: Tensor, lengths: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        """Encode a padded batch.

        Args:
            features: (N, frames, 80) log-mel filterbanks of 10 ms, each bin normalised to mean 0
                and variance 1 over the corpus; padding is zero.
            lengths: (N,) input frames.
            options: `tap`, only where Intermediate CTC is trained, and `context`.

        Returns:
            (N, T, D) with any padding, and (N,) encoder frames as `output_lengths` gives them.
        """


@torch.no_grad()
def check_output(encoder: Encoder, device: torch.device) -> None:
    """Raise UserError where an encoder does not give what it says, on two utterances of noise.

    One of them has the fewest frames, the other a second more.
    """
    module = cast(nn.Module, encoder)
    modes, shortest = [(m, m.training) for m in module.modules()], encoder.min_input_frames
    lengths = torch.tensor([shortest + 100, shortest], device=device)
    noise = torch.Generator().manual_seed(0)  # torch's own random numbers stay as they are
    features = torch.randn(2, shortest + 100, NUM_MEL_BINS, generator=noise)
    out, given = module.eval()(features.to(device), lengths)
    for part, training in modes:  # frozen parts stay in eval mode
        part.training = training
    said, name = encoder.output_lengths(lengths), type(encoder).__name__
    if said.min() < 1 or not torch.equal(given, said):
        raise UserError(
            f"{name} gives {given.tolist()} frames for {lengths.tolist()} input frames, it must "
            f"give what output_lengths says, {said.tolist()}, and at least 1"
        )
    if out.shape[::2] != (2, encoder.width) or out.shape[1] < said.max():
        raise UserError(
            f"{name} gives an output of shape {tuple(out.shape)}, it must be "
            f"(2, {int(said.max())}, {encoder.width}): batch, frames, width"
        )


def set_context(
    encoder: Encoder, chunk_frames: int | None, left_context_frames: int | None
) -> None:
    """Let the frames of an encoder attend to a chunk and to what is left of it.

    Args:
        encoder: one with contexts.
        chunk_frames: encoder frames of a chunk, 0 for the whole utterance; None as in training.
        left_context_frames: encoder frames before it, -1 for all; None as in training.

    Raises:
        ValueError: where the encoder has no contexts, or not this one.
    """
    if not hasattr(encoder, "choose_context"):
        raise UserError(
            f"chunk_frames is {chunk_frames} and left_context_frames {left_context_frames}, they "
            f"must be left out: {type(encoder).__name__} does not run in chunks"
        )
    encoder.context = encoder.choose_context(chunk_frames, left_context_frames)  # type: ignore


def frame_counter(encoder: Encoder) -> Callable[[int], int]:
    """The number of encoder frames from a number of input frames, remembered for each."""

    @cache
    def count(num_frames: int) -> int:
        return int(encoder.output_lengths(torch.tensor([num_frames]))[0])

    return count


def subsampling(encoder: Encoder) -> float:
    """Input frames to an encoder frame, exact for whole numbers up to 16."""
    start = encoder.min_input_frames
    first, last = encoder.output_lengths(torch.tensor([start, start + _SPAN_FRAMES])).tolist()
    return _SPAN_FRAMES / (last - first)
