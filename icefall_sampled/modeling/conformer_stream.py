"""The streaming Conformer: features come in pieces of any size, encoder frames come out in chunks.

The output equals that of `Conformer.forward` for whole utterances and the same `Context`. A chunk
comes out as soon as its input and the few look-ahead frames of subsampling are there. For each
stream, a state has the input frames that are still needed and each block's cache of the past. With
a limited left context, its size does not grow with time.

N streams, F input frames, Q frames of a chunk, P past frames, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.config import ConformerConfig
from icefall_sampled.lengths import padding_mask
from icefall_sampled.modeling.conformer_blocks import ConformerBlock, Past, relative_positions
from icefall_sampled.modeling.context import Context, chunk_latency_ms
from icefall_sampled.modeling.encoder import Tap
from icefall_sampled.modeling.subsampling import (
    Subsampling,
    min_input_frames,
    subsampled_lengths,
)


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """The immutable state of N streams; `advance` returns the next one."""

    features: Tensor
    """(N, F, num_features) input frames of incomplete chunks, left-aligned."""
    lengths: Tensor
    """(N,) number of these frames."""
    done: Tensor
    """(N,) number of encoder frames that have come out."""
    ended: Tensor
    """(N,) true where a stream has no more input."""
    past: tuple[Past, ...]
    """The cache of each block."""


class ConformerStream:
    """Runs a causal Conformer chunk by chunk."""

    def __init__(
        self,
        config: ConformerConfig,
        subsampling: Subsampling,
        blocks: nn.ModuleList,
        context: Context,
    ) -> None:
        """Choose the chunks.

        Args:
            config: of a causal encoder.
            subsampling: its convolutions, in eval mode.
            blocks: its blocks, in eval mode.
            context: with chunks of at least one frame.

        Raises:
            ValueError: where the context has no chunks.
        """
        if context.chunk_frames == 0:
            raise ValueError("chunk_frames is 0, it must be at least 1 to encode a stream")
        assert not subsampling.training
        self.config, self.context = config, context
        self._subsampling, self._blocks = subsampling, blocks
        self._factor = config.subsampling

    @property
    def latency_ms(self) -> float:
        """The longest delay from a sound to its encoder frame, without computing time."""
        return chunk_latency_ms(self.config, self.context.chunk_frames)

    def initial_state(self, num: int) -> StreamState:
        """The state of `num` streams before any input, on the model's device."""
        like = self._subsampling.project.weight
        heads, width = self.config.num_heads, self.config.width
        keys_values = like.new_zeros(num, 2, heads, 0, width // heads)
        inputs = like.new_zeros(num, width, self.config.kernel_frames - 1)
        nothing = torch.zeros(num, dtype=torch.int64, device=like.device)
        return StreamState(
            features=like.new_zeros(num, 0, NUM_MEL_BINS),
            lengths=nothing,
            done=nothing,
            ended=nothing.bool(),
            past=(Past(keys_values, inputs),) * self.config.num_layers,
        )

    @torch.no_grad()
    def advance(
        self,
        features: Tensor,
        lengths: Tensor,
        state: StreamState,
        *,
        final: bool | Tensor = False,
        tap: Tap | None = None,
    ) -> tuple[Tensor, Tensor, StreamState]:
        """Encode the next piece of each stream.

        Args:
            features: (N, frames, num_features), the next frames of each stream; padding may hold
                anything.
            lengths: (N,) frames of each, 0 for no new input.
            state: from `initial_state` or the last `advance`.
            final: (N,) true where a stream ends with this piece: its last chunk then comes out
                even if incomplete. A single bool applies to all streams.
            tap: called with the output of each block for each chunk, (N, Q, D), zero for streams
                without a chunk.

        Returns:
            (N, T, D) new encoder frames, (N,) how many each stream has, possibly none; the new
            state.

        Raises:
            ValueError: where the piece does not fit the state, or comes after a stream's end.
        """
        lengths = lengths.to(state.lengths.device)
        _check(features, lengths, state)
        ended = state.ended | torch.as_tensor(final, device=state.ended.device)
        state = _with_features(replace(state, ended=ended), features, lengths)
        # All but a stream's last chunk are whole, so chunks can be concatenated in time.
        outputs = [self._subsampling.project.weight.new_zeros(len(lengths), 0, self.config.width)]
        total = torch.zeros_like(state.done)
        while bool((counts := self._ready(state)).any()):
            output, state = self._chunk(state, counts, tap)
            outputs.append(output)
            total = total + counts
        return torch.cat(outputs, dim=1), total, state

    def _ready(self, state: StreamState) -> Tensor:
        """(N,) frames of each stream's next chunk: a whole one, the rest of an ended one, or 0."""
        chunk = self.context.chunk_frames
        there = subsampled_lengths(state.lengths, self._factor).clamp(min=0, max=chunk)
        return torch.where(state.ended | (there == chunk), there, torch.zeros_like(there))

    def _chunk(
        self, state: StreamState, counts: Tensor, tap: Tap | None
    ) -> tuple[Tensor, StreamState]:
        """Encode one chunk of the streams with a count above 0; only a last chunk may be short."""
        rows = torch.nonzero(counts)[:, 0]
        num_frames = int(counts.max())
        x = self._subsampled(state, rows, num_frames)
        kept = state.past[0].attention.shape[3]
        padding = padding_mask(counts[rows], num_frames)
        before = ~padding_mask(state.done[rows].clamp(max=kept), kept).flip(1)
        hidden = torch.cat([~before, padding], dim=1)[:, None, None]
        positions = relative_positions(num_frames, x.shape[2], like=x, past=kept)
        done = state.done + counts
        keep = int(done.max())
        if self.context.left_context_frames >= 0:
            keep = min(keep, self.context.left_context_frames)
        past = []
        for number, block in enumerate(self._blocks, start=1):
            assert isinstance(block, ConformerBlock)
            old = state.past[number - 1]
            new = Past(*(part[rows] for part in old))
            x, new = block.advance(x, positions, padding, hidden, new)
            past.append(_put(old, new, rows, keep))
            if tap is not None:
                # Streams without a chunk are there too: a length of 0 would be none.
                x = tap(number, _spread(x, rows, counts), counts.clamp(min=1))[rows]
        state = self._without_chunk(replace(state, past=tuple(past), done=done), counts)
        return _spread(x, rows, counts), state

    def _subsampled(self, state: StreamState, rows: Tensor, num_frames: int) -> Tensor:
        """(n, Q, D) input of the first block."""
        window = (num_frames - 1) * self._factor + min_input_frames(self._factor)
        features, lengths = state.features[rows, :window], state.lengths[rows].clamp(max=window)
        x: Tensor = self._subsampling(features, lengths)[0]
        return x

    def _without_chunk(self, state: StreamState, counts: Tensor) -> StreamState:
        """Drop the input frames that only this chunk needed."""
        used = counts * self._factor
        lengths = state.lengths - used
        place = torch.arange(int(lengths.max()), device=lengths.device) + used[:, None]
        return replace(state, features=_gathered(state.features, place, lengths), lengths=lengths)


def _check(features: Tensor, lengths: Tensor, state: StreamState) -> None:
    num, _, bins = state.features.shape
    if features.dim() != 3 or features.shape[0] != num or features.shape[2] != bins:
        raise ValueError(
            f"features are {tuple(features.shape)}, they must be ({num}, frames, {bins})"
        )
    if lengths.shape != (num,) or bool(((lengths < 0) | (lengths > features.shape[1])).any()):
        raise ValueError(
            f"lengths are {lengths.tolist()}, they must be {num} numbers from 0 to the "
            f"{features.shape[1]} frames of features"
        )
    late = torch.nonzero(state.ended & (lengths > 0))[:, 0].tolist()
    if late:
        raise ValueError(f"lengths has frames for stream {late[0]}, which has ended: it must be 0")


def _with_features(state: StreamState, features: Tensor, lengths: Tensor) -> StreamState:
    """Append each stream's new frames to those that wait."""
    waiting, width = state.lengths, state.features.shape[1]
    total = waiting + lengths
    place = torch.arange(int(total.max()) if len(total) else 0, device=total.device)
    place = torch.where(
        place < waiting[:, None], place, (place - waiting[:, None] + width).clamp(min=0)
    )
    both = torch.cat([state.features, features.to(state.features)], dim=1)
    return replace(state, features=_gathered(both, place, total), lengths=total)


def _gathered(features: Tensor, place: Tensor, lengths: Tensor) -> Tensor:
    """The frames at (N, F) places, zero beyond the lengths: padding may contain NaN."""
    place = place.clamp(max=max(features.shape[1] - 1, 0))
    gathered = features.gather(1, place[..., None].expand(-1, -1, features.shape[2]))
    return gathered.masked_fill(padding_mask(lengths, place.shape[1])[..., None], 0.0)


def _put(old: Past, new: Past, rows: Tensor, keep: int) -> Past:
    """The past of all streams, that of `rows` replaced; cut or padded to `keep` frames."""
    attention = pad(old.attention, (0, 0, keep - old.attention.shape[3], 0))
    attention[rows] = pad(new.attention, (0, 0, keep - new.attention.shape[3], 0))
    convolution = old.convolution.clone()
    convolution[rows] = new.convolution
    return Past(attention, convolution)


def _spread(x: Tensor, rows: Tensor, counts: Tensor) -> Tensor:
    """(n, Q, D) of some streams -> (N, Q, D), zero for the others and in the padding."""
    out = x.new_zeros(len(counts), *x.shape[1:])
    out[rows] = x.masked_fill(padding_mask(counts[rows], x.shape[1])[..., None], 0.0)
    return out
