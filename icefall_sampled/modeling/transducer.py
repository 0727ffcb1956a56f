"""The whole model: Conformer, predictor, joiner, CTC head, and the losses over a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icefall_sampled.config import Config
from icefall_sampled.losses import ctc_loss, transducer_loss
from icefall_sampled.modeling.conformer import Conformer, Tap
from icefall_sampled.modeling.context import Context
from icefall_sampled.modeling.ctc import CtcHead
from icefall_sampled.modeling.joiner import Joiner
from icefall_sampled.modeling.outputs import Encoded, Losses
from icefall_sampled.modeling.predictor import make_predictor
from icefall_sampled.modeling.pruned import SimpleProjections
from icefall_sampled.modeling.subsampling import padding_mask
from icefall_sampled.sampling import (
    SampledVocabulary,
    likely_vocabulary,
    max_positives,
    mean_posterior,
    sample_vocabulary,
)
from icefall_sampled.tokens import BLANK


class Transducer(nn.Module):
    """RNN-Transducer trained with sampled softmax and auxiliary CTC losses."""

    def __init__(self, config: Config, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        ctc = config.ctc
        self.encoder = Conformer(config.encoder, taps=ctc.intermediate_layers)
        self.predictor = make_predictor(config.predictor, vocab_size)
        self.joiner = Joiner(
            config.joiner,
            encoder_width=config.encoder.width,
            predictor_width=config.predictor.hidden_width,
            vocab_size=vocab_size,
        )
        self.ctc: CtcHead | None = None
        if ctc.joint_weight > 0 or ctc.intermediate_layers:
            self.ctc = CtcHead(
                config.encoder.width, vocab_size, self_conditioning=ctc.self_conditioning
            )
        self.simple: SimpleProjections | None = None
        if config.loss.kind == "pruned":
            self.simple = SimpleProjections(
                config.loss.pruned,
                encoder_width=config.encoder.width,
                predictor_width=config.predictor.hidden_width,
                vocab_size=vocab_size,
            )

    def encode(
        self, features: Tensor, lengths: Tensor, *, context: Context | None = None
    ) -> Encoded:
        """(N, frames, bins), (N,) -> encoder output, lengths and intermediate outputs.

        See `Conformer.forward` for the context.
        """
        taps: list[Tensor] = []
        out, lengths = self.encoder(features, lengths, tap=self.tap_into(taps), context=context)
        return Encoded(out, lengths, taps)

    def tap_into(self, taps: list[Tensor]) -> Tap:
        """The encoder's tap after each intermediate block: it appends the output to `taps`."""

        def tap(x: Tensor, lengths: Tensor) -> Tensor:
            assert self.ctc is not None
            taps.append(x)
            return self.ctc.condition(x, lengths)

        return tap

    def mean_posterior(self, encoded: Encoded) -> Tensor:
        """(N, V) mean CTC posterior, of joint CTC or else of the last intermediate layer.

        Raises:
            ValueError: where the model has no CTC head.
        """
        return mean_posterior(self.ctc_log_probs(encoded), encoded.lengths)

    def ctc_log_probs(self, encoded: Encoded) -> Tensor:
        """(N, T, V) of joint CTC, or else of the last intermediate layer, in nats.

        Raises:
            ValueError: where the model has no CTC head.
        """
        if self.ctc is None:
            raise ValueError("ctc_top_k and blank_skip need a CTC head, this model has none")
        hidden = encoded.out if self.config.ctc.joint_weight > 0 else encoded.taps[-1]
        return self.ctc.log_probs(hidden)

    @property
    def frame_seconds(self) -> float:
        """The time from one encoder frame to the next: input frames are 10 ms apart."""
        return 0.01 * self.config.encoder.subsampling

    def predict(self, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """(N, U) targets, padded with anything -> (N, U + 1, J) projected predictor outputs."""
        out: Tensor = self.joiner.predictor_projection(self._predicted(targets, target_lengths))
        return out

    def _predicted(self, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """(N, U) targets, padded with anything -> (N, U + 1, P) outputs of the predictor."""
        hidden = padding_mask(target_lengths, targets.shape[1])
        if self.training and self.config.predictor.label_dropout > 0:
            share = self.config.predictor.label_dropout
            hidden = hidden | (torch.rand(targets.shape, device=targets.device) < share)
        history = nn.functional.pad(targets.masked_fill(hidden, BLANK), (1, 0), value=BLANK)
        out: Tensor = self.predictor(history)
        return out

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        targets: Tensor,
        target_lengths: Tensor,
        *,
        with_transducer: bool = True,
        warmth: float = 1.0,
    ) -> Losses:
        """All losses of a batch.

        Args:
            features: (N, frames, num_features).
            lengths: (N,) input frames.
            targets: (N, U) without blank, padded with anything.
            target_lengths: (N,).
            with_transducer: false while only the CTC losses are trained.
            warmth: how far the warm-up of the pruned loss has come, from 0 to 1.
        """
        encoded = self.encode(features, lengths)
        ctc, interctc, posterior = self._ctc_losses(encoded, targets, target_lengths)
        weights = self.config.ctc
        total: Tensor = torch.zeros((), device=features.device)
        if ctc is not None:
            total = total + weights.joint_weight * ctc
        if interctc is not None:
            total = total + weights.intermediate_weight * interctc
        if not with_transducer:
            total = total + self._nothing_of_every_weight()
            return Losses(total=total, ctc=ctc, interctc=interctc)
        if self.simple is not None:
            simple, pruned = self._pruned_losses(encoded, targets, target_lengths)
            total = total + self.simple.weighted(simple, pruned, warmth)
            return Losses(total=total, transducer=pruned, simple=simple, ctc=ctc, interctc=interctc)
        assert self.config.loss.kind == "transducer"  # an exported model has no simple projections
        vocabulary, widened = self._sample(posterior, targets, target_lengths)
        transducer = self._transducer_loss(encoded, targets, target_lengths, vocabulary, posterior)
        return Losses(
            total=total + transducer,
            transducer=transducer,
            ctc=ctc,
            interctc=interctc,
            vocabulary=vocabulary,
            widened=widened,
        )

    def _ctc_losses(
        self, encoded: Encoded, targets: Tensor, target_lengths: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Joint CTC, mean Intermediate CTC, and the (N, V) posterior that sampling needs."""
        if self.ctc is None:
            return None, None, None
        layer = self.ctc.output

        def head(hidden: Tensor, wants_posterior: bool) -> tuple[Tensor, Tensor | None]:
            arguments = (hidden, layer.weight, layer.bias, targets, encoded.lengths, target_lengths)
            if wants_posterior:  # this costs an extra pass where V is large
                return ctc_loss(*arguments, return_mean_posterior=True)
            return ctc_loss(*arguments), None

        joint, interctc, posterior = None, None, None
        source = self._posterior_source()
        if self.config.ctc.joint_weight > 0:
            joint, posterior = head(encoded.out, source == "ctc")
        if encoded.taps:
            *earlier, last = encoded.taps
            last_loss, last_posterior = head(last, source == "interctc")
            heads = [head(hidden, False)[0] for hidden in earlier]
            interctc = torch.stack([*heads, last_loss]).mean()
            posterior = last_posterior if source == "interctc" else posterior
        return joint, interctc, None if posterior is None else _finite(posterior)

    def _posterior_source(self) -> str:
        """The head whose posterior sampling or the draft needs: "ctc", "interctc" or "none"."""
        config = self.config
        if config.sampling.strategy != "none" and config.sampling.distribution != "uniform":
            return config.sampling.distribution
        if self._has_draft():
            return "ctc" if config.ctc.joint_weight > 0 else "interctc"
        return "none"

    def _has_draft(self) -> bool:
        return self.config.loss.wants_draft and self.ctc is not None

    def _sample(
        self, posterior: Tensor | None, targets: Tensor, target_lengths: Tensor
    ) -> tuple[SampledVocabulary | None, bool]:
        """The classes of this batch's softmax, and whether K had to grow."""
        config = self.config.sampling
        if config.strategy == "none" or config.num_sampled >= self.vocab_size:
            return None, False
        needed = max_positives(targets, target_lengths, strategy=config.strategy)
        vocabulary = sample_vocabulary(
            targets,
            target_lengths,
            vocab_size=self.vocab_size,
            num_sampled=max(config.num_sampled, needed),
            strategy=config.strategy,
            probs=None if config.distribution == "uniform" else posterior,
        )
        return vocabulary, needed > config.num_sampled

    def _transducer_loss(
        self,
        encoded: Encoded,
        targets: Tensor,
        target_lengths: Tensor,
        vocabulary: SampledVocabulary | None,
        posterior: Tensor | None,
    ) -> Tensor:
        config, output = self.config.loss, self.joiner.output
        draft = None
        if self._has_draft():
            assert posterior is not None
            draft = likely_vocabulary(
                targets,
                target_lengths,
                posterior.detach(),
                num_negatives=config.draft_negatives,
                within=vocabulary,
            )
        return transducer_loss(
            self.joiner.encoder_projection(encoded.out),
            self.predict(targets, target_lengths),
            output.weight,
            output.bias,
            targets,
            encoded.lengths,
            target_lengths,
            vocabulary=vocabulary,
            activation=self.config.joiner.activation,
            draft=draft,
            min_occupancy=config.min_occupancy,
            implementation=config.implementation,
        )

    def _pruned_losses(
        self, encoded: Encoded, targets: Tensor, target_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The simple and the pruned loss."""
        assert self.simple is not None
        predicted = self._predicted(targets, target_lengths)
        lengths = encoded.lengths, target_lengths
        return self.simple.losses(self.joiner, encoded.out, predicted, targets, *lengths)

    def _nothing_of_every_weight(self) -> Tensor:
        """Zero, with a zero gradient for each weight, because DDP needs a gradient of every one.

        Without the transducer loss, predictor and joiner get no other gradient. If the last CTC
        loss is an intermediate one, the blocks above it get none either.
        """
        return torch.stack([p.sum() * 0.0 for p in self.parameters()]).sum()


def _finite(posterior: Tensor) -> Tensor:
    """(N, V) weights to draw from: uniform for an utterance whose posterior is not finite.

    The utterance's loss is not finite either, so the trainer skips the step.
    """
    whole = torch.isfinite(posterior).all(dim=-1, keepdim=True)
    return torch.where(whole, posterior, 1.0 / posterior.shape[-1])
