"""Conformer encoder (Gulati et al. 2020): subsampling and a stack of blocks."""

from __future__ import annotations

from torch import Tensor, nn

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.config import ConformerConfig
from icefall_sampled.lengths import padding_mask
from icefall_sampled.modeling.conformer_blocks import ConformerBlock, relative_positions
from icefall_sampled.modeling.conformer_stream import ConformerStream
from icefall_sampled.modeling.context import (
    Context,
    check_context,
    chosen_context,
    drawn_context,
    widest_context,
)
from icefall_sampled.modeling.encoder import Tap
from icefall_sampled.modeling.subsampling import (
    Length,
    Subsampling,
    min_input_frames,
    subsampled_lengths,
)


class Conformer(nn.Module):
    """An `Encoder` with everything that is optional: taps, contexts, and a streaming twin."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        self.width, self.num_blocks = config.width, config.num_layers
        self.min_input_frames = min_input_frames(config.subsampling)
        self.smallest_chunk_frames = min(filter(None, config.chunk_frames), default=0)
        self.context = widest_context(config)
        """The context outside of training, where `forward` gets none."""
        self.subsampling = Subsampling(
            num_features=NUM_MEL_BINS,
            channels=config.subsampling_channels,
            width=config.width,
            factor=config.subsampling,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(ConformerBlock(config) for _ in range(config.num_layers))

    def output_lengths(self, lengths: Length) -> Length:
        """Encoder frames from input frames."""
        return subsampled_lengths(lengths, self.config.subsampling)

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        *,
        tap: Tap | None = None,
        context: Context | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a padded batch.

        Args:
            features: (N, frames, 80); padding may hold any number.
            lengths: (N,) input frames.
            tap: called with the output of each block (see `modeling.encoder.Tap`).
            context: what a frame attends to. In training, None draws one of the config's contexts;
                otherwise it means the attribute `context`, initially the widest of them.

        Returns:
            (N, T, D) and (N,) encoder frames.

        Raises:
            ValueError: where the context has chunks and the encoder is not causal.
        """
        context = self._checked(context)
        x, lengths = self.subsampling(features, lengths)
        x = self.dropout(x)
        positions = relative_positions(x.shape[1], x.shape[2], like=x)
        padding = padding_mask(lengths, x.shape[1])
        hidden = context.hidden(x.shape[1], x.device)
        hidden = None if hidden is None else hidden | padding[:, None, None]
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, positions, padding, hidden)
            if tap is not None:
                x = tap(number, x, lengths)
        return x, lengths

    def _checked(self, context: Context | None) -> Context:
        if context is None:
            return drawn_context(self.config) if self.training else self.context
        check_context(self.config, context)
        return context

    def choose_context(
        self, chunk_frames: int | None = None, left_context_frames: int | None = None
    ) -> Context:
        """The context that a user asks for; None takes the widest of training.

        Raises:
            ValueError: where a value is out of range, or this encoder cannot run in chunks.
        """
        return chosen_context(self.config, chunk_frames, left_context_frames)

    def stream(self, context: Context) -> ConformerStream:
        """The streaming twin, which shares the weights.

        Raises:
            ValueError: where the context has no chunks, or the encoder is not causal.
        """
        check_context(self.config, context)
        return ConformerStream(self.config, self.subsampling, self.blocks, context)


def make_conformer(config: ConformerConfig) -> Conformer:
    """The encoder of the recipes."""
    return Conformer(config)
