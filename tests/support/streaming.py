"""Streams for tests: features in pieces."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.config import Config
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.modeling.context import Context
from icefall_sampled.modeling.streaming import StreamingEncoder
from tests.support.tiny import changed, tiny_config


def causal_config() -> Config:
    """The tiny config, causal, with chunks of several sizes."""
    return changed(
        tiny_config(),
        encoder={"causal": True, "chunk_frames": (0, 2, 5), "left_context_frames": 6,
                 "kernel_frames": 5},
    )  # fmt: skip


def pieces_of(length: int, cuts: list[int]) -> list[tuple[int, int]]:
    """Start and end of the pieces of a stream: the wanted sizes, and the rest as one piece."""
    pieces, start = [], 0
    for size in cuts:
        end = min(start + size, length)
        pieces.append((start, end))
        start = end
    return [*pieces, (start, length)]


def heard(
    model: Transducer,
    context: Context,
    features: Tensor,
    lengths: list[int],
    cuts: list[list[int]],
    *,
    early: bool = True,
) -> Encoded:
    """The whole output of streams, each advanced in its own pieces; the padding is NaN.

    Each stream is final at its last piece if `early`, otherwise only when all streams have ended.
    """
    encoder = StreamingEncoder(model, context)
    state = encoder.initial_state(len(lengths))
    pieces = [pieces_of(*both) for both in zip(lengths, cuts, strict=True)]
    outs: list[list[Tensor]] = [[] for _ in lengths]
    layers = model.ctc.layers if model.ctc is not None else ()
    taps: list[list[list[Tensor]]] = [[[] for _ in lengths] for _ in layers]
    count = max(map(len, pieces))
    for i in range(count + 1):
        now = [p[i] if i < len(p) else (0, 0) for p in pieces]
        sizes = [end - start for start, end in now]
        piece = torch.full((len(lengths), max(sizes), 80), float("nan"), dtype=features.dtype)
        for n, (start, end) in enumerate(now):
            piece[n, : end - start] = features[n, start:end]
        final = torch.tensor([i == count or (early and i >= len(p) - 1) for p in pieces])
        encoded, state = encoder.advance(piece, torch.tensor(sizes), state, final=final)
        for n, length in enumerate(encoded.lengths.tolist()):
            outs[n].append(encoded.out[n, :length])
            for tap, whole in zip(encoded.taps, taps, strict=True):
                whole[n].append(tap[n, :length])
    return Encoded(_padded(outs), state.done, [_padded(tap) for tap in taps])


def _padded(streams: list[list[Tensor]]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.cat(s) for s in streams], batch_first=True)
