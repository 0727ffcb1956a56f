"""The model as modules that can be traced into a graph.

Tracing runs a module once and records the operations on its tensors. So the modules here have no
branch, loop or random number that depends on the input, and pass only tensors between them.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from icefall_sampled.lengths import padding_mask
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.subsampling import FeatureNorm


class FixedNorm(nn.Module):
    """`FeatureNorm` with the statistics gathered in training, by the same arithmetic."""

    mean: Tensor
    scale: Tensor

    def __init__(self, norm: FeatureNorm) -> None:
        super().__init__()
        mean = norm.total / norm.count.clamp(min=1)
        variance = norm.squares / norm.count.clamp(min=1) - mean * mean
        scale = variance.clamp(min=1e-5).rsqrt()
        if not norm.count > 0:  # no statistics were gathered: features stay as they are
            mean, scale = torch.zeros_like(mean), torch.ones_like(scale)
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(N, frames, num_features), (N,) -> the same shape."""
        return (features - self.mean) * self.scale


class SelfConditioning(nn.Module):
    """`CtcHead.condition` in the plain form, which stores the posterior of all frames."""

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        assert model.ctc is not None
        assert model.ctc.feedback is not None
        self.output, self.feedback = model.ctc.output, model.ctc.feedback

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, D), (N,) -> (N, T, D)."""
        padding = padding_mask(lengths, hidden.shape[1])
        posterior = self.output(hidden).softmax(-1).masked_fill(padding[..., None], 0.0)
        out: Tensor = hidden + self.feedback(posterior)
        return out


class Acoustics(nn.Module):
    """The encoder, and the input of the CTC head."""

    def __init__(self, model: Transducer, *, condition: nn.Module | None = None) -> None:
        """Copy the encoder.

        Args:
            model: in eval mode.
            condition: replaces `CtcHead.condition` if the model is self-conditioned.
        """
        super().__init__()
        self.encoder = copy.deepcopy(model.encoder)
        self.feature_norm = FixedNorm(model.feature_norm)
        self.condition = condition
        layers = () if model.ctc is None else model.ctc.layers
        self.layers, self.from_last_tap = layers, model.ctc is not None and not model.ctc.joint

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, frames, bins), (N,) -> (N, T, D), (N,), and the (N, T, D) input of the CTC head."""
        taps: list[Tensor] = []

        def tap(block: int, x: Tensor, lengths: Tensor) -> Tensor:
            if block not in self.layers:
                return x
            taps.append(x)
            return x if self.condition is None else self.condition(x, lengths)

        options = {"tap": tap} if self.layers else {}
        beyond = padding_mask(lengths, features.shape[1])
        normalised = self.feature_norm(features, lengths).masked_fill(beyond[:, :, None], 0.0)
        out, lengths = self.encoder(normalised, lengths, **options)
        return out, lengths, taps[-1] if self.from_last_tap and taps else out
