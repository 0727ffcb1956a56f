"""The whole model, put together from its parts: encoder, predictor, joiner and CTC head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from icefall_sampled.audio import FRAME_SECONDS, NUM_MEL_BINS
from icefall_sampled.config import Config
from icefall_sampled.errors import UserError
from icefall_sampled.lengths import padding_mask
from icefall_sampled.modeling.ctc import CtcHead
from icefall_sampled.modeling.encoder import Encoder, Tap, subsampling
from icefall_sampled.modeling.joiner import Joiner
from icefall_sampled.modeling.outputs import Encoded
from icefall_sampled.modeling.predictor import Predictor
from icefall_sampled.modeling.subsampling import FeatureNorm
from icefall_sampled.tokens import BLANK

MEMBERS = {
    "encoder": ("width", "min_input_frames", "output_lengths"),
    "predictor": ("width", "initial_state", "step"),
}
"""What every encoder and predictor must have."""


class Transducer(nn.Module):
    """RNN-Transducer (Graves 2012) with an auxiliary CTC head; `training.Objective` trains it."""

    config: Config
    """What `Factories.model` made it from."""
    factories: Any
    """The `Factories` that made its parts."""

    def __init__(
        self, encoder: Encoder, predictor: Predictor, joiner: Joiner, ctc: CtcHead | None = None
    ) -> None:
        """Take the parts.

        Args:
            encoder: see `modeling.encoder`.
            predictor: see `modeling.predictor`.
            joiner: its input widths are those of encoder and predictor.
            ctc: for auxiliary losses, sampling, drafts and constrained decoding; or None.

        Raises:
            ValueError: where the parts do not fit together.
        """
        super().__init__()
        check_members(encoder, predictor)
        _check_widths(encoder, predictor, joiner)
        raw = getattr(encoder, "raw_features", False)
        self.feature_norm = FeatureNorm(NUM_MEL_BINS, gathers=not raw)
        self.encoder, self.predictor, self.joiner, self.ctc = encoder, predictor, joiner, ctc
        self.vocab_size: int = joiner.output.out_features
        if ctc is not None and ctc.layers:
            _check_layers(encoder, ctc.layers)

    def encode(self, features: Tensor, lengths: Tensor, **options: Any) -> Encoded:
        """Encode a batch.

        Args:
            features: (N, frames, 80) log-mel filterbanks; padding may hold anything, NaN included.
            lengths: (N,) input frames.
            options: for the encoder, such as the context of `Conformer.forward`.

        Returns:
            The encoder's output, its lengths and the intermediate outputs.
        """
        # An attention weight of zero does not stop a NaN in the padding: 0 * NaN is NaN.
        beyond = padding_mask(lengths, features.shape[1])
        normalised = self.feature_norm(features, lengths).masked_fill(beyond[:, :, None], 0.0)
        taps: list[Tensor] = []
        if self.ctc is not None and self.ctc.layers:
            options["tap"] = self.tap_into(taps)
        out, lengths = self.encoder(normalised, lengths, **options)
        return Encoded(out, lengths, taps)

    def tap_into(self, taps: list[Tensor]) -> Tap:
        """The tap for the encoder: it appends the output of each intermediate layer to `taps`."""
        ctc = self.ctc
        assert ctc is not None

        def tap(block: int, x: Tensor, lengths: Tensor) -> Tensor:
            if block not in ctc.layers:
                return x
            taps.append(x)
            return ctc.condition(x, lengths)

        return tap

    def ctc_log_probs(self, encoded: Encoded) -> Tensor:
        """(N, T, V) of joint CTC, or else of the last intermediate layer, in nats.

        Raises:
            ValueError: where the model has no CTC head.
        """
        if self.ctc is None:
            raise UserError("ctc_top_k and blank_skip need a CTC head, this model has none")
        return self.ctc.log_probs(encoded.out if self.ctc.joint else encoded.taps[-1])

    @property
    def frame_seconds(self) -> float:
        """The time from one encoder frame to the next."""
        return FRAME_SECONDS * subsampling(self.encoder)

    def predicted(
        self, targets: Tensor, target_lengths: Tensor, *, hidden: Tensor | None = None
    ) -> Tensor:
        """The predictor's outputs.

        Args:
            targets: (N, U), padded with anything.
            target_lengths: (N,).
            hidden: (N, U), true at labels that the predictor reads as blank.

        Returns:
            (N, U + 1, P).
        """
        padding = padding_mask(target_lengths, targets.shape[1])
        hidden = padding if hidden is None else hidden | padding
        history = nn.functional.pad(targets.masked_fill(hidden, BLANK), (1, 0), value=BLANK)
        out: Tensor = self.predictor(history)
        return out

    def predict(self, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """(N, U) targets, padded with anything -> (N, U + 1, J) projected predictor outputs."""
        out: Tensor = self.joiner.predictor_projection(self.predicted(targets, target_lengths))
        return out


def check_members(encoder: object, predictor: object) -> None:
    """Raise ValueError where a part is no module, or lacks what it must have; names it."""
    for name, part in (("encoder", encoder), ("predictor", predictor)):
        kind = type(part).__name__
        if not isinstance(part, nn.Module):
            raise UserError(f"{name} is {kind}, it must be a torch.nn.Module")
        for member in MEMBERS[name]:
            if not hasattr(part, member):
                raise UserError(
                    f"{name} is {kind}, it must have {member}: see "
                    f"icefall_sampled/modeling/{name}.py"
                )


def _check_widths(encoder: Encoder, predictor: Predictor, joiner: Joiner) -> None:
    for name, part, layer in (
        ("encoder", encoder, joiner.encoder_projection),
        ("predictor", predictor, joiner.predictor_projection),
    ):
        if part.width != layer.in_features:
            raise UserError(
                f"{name}.width is {part.width}, it must be the joiner's {layer.in_features}"
            )


def _check_layers(encoder: Encoder, layers: tuple[int, ...]) -> None:
    blocks = getattr(encoder, "num_blocks", None)
    if blocks is None:
        raise UserError(
            f"ctc.intermediate_layers is {layers}, it must be empty: {type(encoder).__name__} has "
            "no num_blocks, so its blocks cannot be tapped"
        )
    if not all(1 <= layer < blocks for layer in layers):
        raise UserError(
            f"ctc.intermediate_layers is {layers}, it must be blocks between 1 and {blocks - 1}"
        )
