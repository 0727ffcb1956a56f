"""The configurations of parts that a recipe may replace with its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Rule = tuple[str, object, bool, str]
"""A field, its value, whether that is legal, and what it must be."""


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """Base of the configurations of encoders and predictors.

    A recipe with an encoder of its own derives a frozen dataclass from this class. Its fields are
    on the command line (`--encoder.num-layers 12`) and in the checkpoint: numbers, texts, Paths,
    tuples and dicts of these, and further dataclasses.
    """

    def rules(self) -> list[Rule]:
        """What must hold of the fields, in the order in which it is checked."""
        return []

    def positive(self, *names: str) -> list[Rule]:
        """The rule of fields that must be above 0."""
        return [(name, value, value > 0, "positive") for name, value in self._values(names)]

    def share(self, *names: str) -> list[Rule]:
        """The rule of fields that must be at least 0 and below 1."""
        rule = "at least 0 and below 1"
        return [(name, value, 0 <= value < 1, rule) for name, value in self._values(names)]

    def _values(self, names: tuple[str, ...]) -> list[tuple[str, float]]:
        return [(name, getattr(self, name)) for name in names]


@dataclass(frozen=True, kw_only=True)
class ConformerConfig(PartConfig):
    """Conformer (Gulati et al. 2020); the defaults are Conformer-M."""

    subsampling: Literal[4, 6, 8] = 4
    """Input frames to an encoder frame."""
    subsampling_channels: int = 256
    """Channels of the convolutions that subsample."""
    num_layers: int = 16
    """Conformer blocks."""
    width: int = 256
    """Model dimension D."""
    num_heads: int = 4
    """Attention heads; must divide the width."""
    feedforward_width: int = 1024
    """Inner width of the two macaron feed-forward modules."""
    kernel_frames: int = 31
    """Kernel of the depthwise convolution; odd."""
    dropout: float = 0.1
    """Dropout in every module."""
    causal: bool = False
    """For streaming: convolutions that see no later frame, and attention by chunks."""
    chunk_frames: tuple[int, ...] = ()
    """Encoder frames of an attention chunk, of which each training batch draws one (0 is the whole
    utterance); empty without `causal`."""
    left_context_frames: int = -1
    """Encoder frames before its chunk that a frame attends to, too; -1 for all of them."""

    def rules(self) -> list[Rule]:
        """What must hold of the fields."""
        chunks, left = self.chunk_frames, self.left_context_frames
        heads_fit = self.width % max(self.num_heads, 1) == 0
        return [
            *self.share("dropout"),
            *self.positive("subsampling_channels", "num_layers", "width", "num_heads",
                           "feedforward_width", "kernel_frames"),
            ("chunk_frames", chunks, all(chunk >= 0 for chunk in chunks),
             "numbers of frames, or 0 for the whole utterance"),
            ("chunk_frames", chunks, any(chunks) or not self.causal,
             "at least one chunk of 1 frame or more: encoder.causal is true"),
            ("chunk_frames", chunks, self.causal or not chunks, "empty: encoder.causal is false"),
            ("left_context_frames", left, left >= -1, "at least 0, or -1 for all frames"),
            ("left_context_frames", left, self.causal or left == -1,
             "-1: encoder.causal is false"),
            ("kernel_frames", self.kernel_frames, self.kernel_frames % 2 == 1, "odd"),
            ("width", self.width, heads_fit and self.width % 2 == 0,
             f"even and a multiple of encoder.num_heads ({self.num_heads})"),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PredictorConfig(PartConfig):
    """The prediction network."""

    kind: Literal["lstm", "stateless"] = "lstm"
    """LSTM over all previous labels, or a convolution over the last few."""
    embedding_width: int = 256
    """Width of the label embedding."""
    hidden_width: int = 640
    """Width of the LSTM, or of the stateless predictor's output."""
    num_layers: int = 1
    """LSTM layers."""
    context_labels: int = 2
    """Previous labels that the stateless predictor sees."""
    dropout: float = 0.1
    """Dropout on the embedding and between LSTM layers."""

    def rules(self) -> list[Rule]:
        """What must hold of the fields."""
        sizes = "embedding_width", "hidden_width", "num_layers", "context_labels"
        return [*self.share("dropout"), *self.positive(*sizes)]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(PartConfig):
    """AdamW with linear warm-up."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["noam", "cosine"] = "noam"
    """After warm-up: inverse square root of the step, or half a cosine down to zero."""
    warmup_steps: int = 10000
    """Steps over which the learning rate rises linearly to its peak."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's coefficients."""
    weight_decay: float = 1e-2
    """Decoupled weight decay; not applied to biases and normalisation."""
    clip_norm: float = 5.0
    """The gradient's norm is clipped to this."""
    accumulate: int = 1
    """Batches to an optimizer step."""
    factors: dict[str, float] = field(default_factory=dict)
    """Factors on the learning rate by patterns of names, such as `'encoder.*' 0.1`; the first that
    matches the whole name of a weight counts."""

    def rules(self) -> list[Rule]:
        """What must hold of the fields."""
        lowest = min(self.factors.values(), default=0.0)
        return [
            *self.positive("accumulate", "warmup_steps", "learning_rate", "clip_norm"),
            ("betas", self.betas, all(0 <= beta < 1 for beta in self.betas),
             "two numbers from 0 to below 1"),
            ("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0"),
            ("factors", self.factors, lowest >= 0, "at least 0 each"),
        ]  # fmt: skip
