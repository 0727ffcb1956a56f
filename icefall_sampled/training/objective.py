"""The losses of a batch: the transducer's and the auxiliary ones, and their weighted sum."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from icefall_sampled.config import Config
from icefall_sampled.errors import UserError
from icefall_sampled.losses import transducer_loss
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.pruned import SimpleProjections
from icefall_sampled.optimizer import matches
from icefall_sampled.sampling import (
    SampledVocabulary,
    likely_vocabulary,
    max_positives,
    sample_vocabulary,
)
from icefall_sampled.training.auxiliaries import AUXILIARIES, SOURCES, Labelled


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of a batch, means over its utterances in nats."""

    total: Tensor
    """The weighted sum that is minimised."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """Each loss by its name: "transducer" (with the config's softmax, or the pruned loss), "simple"
    (which finds the ranges of the pruned loss), and those of `AUXILIARIES`."""
    vocabulary: SampledVocabulary | None = None
    """The classes of the softmax; None for all of them."""
    widened: bool = False
    """Whether K had to grow beyond `sampling.num_sampled` to hold this batch's positives."""


class Objective(nn.Module):
    """A model and its losses, which is what DDP wraps."""

    def __init__(self, model: Transducer, config: Config) -> None:
        """Add to the model the layers that are trained but not decoded with."""
        super().__init__()
        self.model, self.config = model, config
        self.simple: SimpleProjections | None = None
        if config.loss.kind == "pruned":
            self.simple = SimpleProjections(
                config.loss.pruned,
                encoder_width=model.encoder.width,
                predictor_width=model.predictor.width,
                vocab_size=model.vocab_size,
            )
        self._frozen = self._freeze(config.training.freeze)
        weights = {name: one.weight(config) for name, one in AUXILIARIES.items()}
        self.weights = {name: weight for name, weight in weights.items() if weight is not None}
        """The weight of each auxiliary loss that the config has."""

    def _freeze(self, patterns: tuple[str, ...]) -> list[nn.Module]:
        """Exclude weights from training; the modules whose statistics must then stay, too.

        Raises:
            ValueError: where a pattern matches nothing.
        """
        for pattern in patterns:
            names = [n for n, _ in (*self.named_parameters(), *self.named_buffers())]
            if not any(matches(name, pattern) for name in names):
                raise UserError(f"training.freeze has {pattern!r}, it must match a weight")

        def is_frozen(name: str) -> bool:
            return any(matches(name, pattern) for pattern in patterns)

        for name, parameter in self.named_parameters():
            if is_frozen(name):
                parameter.requires_grad_(False)
        return [
            module
            for name, module in self.named_modules()
            if any(is_frozen(f"{name}.{own}") for own, _ in module.named_buffers(recurse=False))
        ]

    def train(self, mode: bool = True) -> Objective:
        """Switch to training, but for frozen modules with statistics, such as batch norm."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all losses that a batch may have."""
        simple = () if self.simple is None else ("simple",)
        return ("transducer", *simple, *self.weights)

    @property
    def posterior_source(self) -> str | None:
        """The auxiliary loss whose posterior sampling or the draft needs; None if neither does."""
        sampling = self.config.sampling
        if sampling.strategy != "none" and sampling.distribution in self.weights:
            return sampling.distribution
        return next(iter(self.weights), None) if self._has_draft() else None

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
            features: (N, frames, 80).
            lengths: (N,) input frames.
            targets: (N, U) without blank, padded with anything.
            target_lengths: (N,).
            with_transducer: false while only the auxiliary losses are trained.
            warmth: how far the warm-up of the pruned loss has come, from 0 to 1.
        """
        batch = Labelled(self.model.encode(features, lengths), targets, target_lengths)
        parts, posteriors = self.auxiliary_losses(batch)
        total: Tensor = torch.zeros((), device=features.device)
        for name, value in parts.items():
            total = total + self.weights[name] * value
        if not with_transducer:
            return Losses(total=total + self._nothing_of_every_weight(), parts=parts)
        if self.simple is not None:
            simple, pruned = self.pruned_losses(batch)
            total = total + self.simple.weighted(simple, pruned, warmth)
            return Losses(total=total, parts={"transducer": pruned, "simple": simple, **parts})
        vocabulary, widened = self.sample(batch, posteriors)
        transducer = self.transducer_loss(batch, vocabulary, posteriors)
        return Losses(
            total=total + transducer,
            parts={"transducer": transducer, **parts},
            vocabulary=vocabulary,
            widened=widened,
        )

    def auxiliary_losses(self, batch: Labelled) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each auxiliary loss, and the posterior of the one that sampling or the draft needs."""
        losses, posteriors, source = {}, {}, self.posterior_source
        for name in self.weights:
            assert self.model.ctc is not None
            losses[name], found = AUXILIARIES[name].loss(self.model.ctc, batch, name == source)
            if found is not None:
                posteriors[name] = _finite(found)
        return losses, posteriors

    def _has_draft(self) -> bool:
        return self.config.loss.wants_draft and bool(self.weights)

    def sample(
        self, batch: Labelled, posteriors: dict[str, Tensor]
    ) -> tuple[SampledVocabulary | None, bool]:
        """The classes of this batch's softmax, and whether K had to grow."""
        config, vocab_size = self.config.sampling, self.model.vocab_size
        if config.strategy == "none" or config.num_sampled >= vocab_size:
            return None, False
        needed = max_positives(batch.targets, batch.target_lengths, strategy=config.strategy)
        vocabulary = sample_vocabulary(
            batch.targets,
            batch.target_lengths,
            vocab_size=vocab_size,
            num_sampled=max(config.num_sampled, needed),
            strategy=config.strategy,
            probs=SOURCES[config.distribution](posteriors),
        )
        return vocabulary, needed > config.num_sampled

    def transducer_loss(
        self,
        batch: Labelled,
        vocabulary: SampledVocabulary | None,
        posteriors: dict[str, Tensor],
    ) -> Tensor:
        """The transducer loss over these classes, with a draft where the config wants one."""
        config, joiner, draft = self.config.loss, self.model.joiner, None
        if self._has_draft():
            source = self.posterior_source
            assert source is not None
            draft = likely_vocabulary(
                batch.targets,
                batch.target_lengths,
                posteriors[source].detach(),
                num_negatives=config.draft_negatives,
                within=vocabulary,
            )
        return transducer_loss(
            joiner.encoder_projection(batch.encoded.out),
            joiner.predictor_projection(self._predicted(batch)),
            joiner.output.weight,
            joiner.output.bias,
            batch.targets,
            batch.encoded.lengths,
            batch.target_lengths,
            vocabulary=vocabulary,
            activation=joiner.activation,
            draft=draft,
            min_occupancy=config.min_occupancy,
            implementation=config.implementation,
        )

    def pruned_losses(self, batch: Labelled) -> tuple[Tensor, Tensor]:
        """The simple and the pruned loss."""
        assert self.simple is not None
        return self.simple.losses(
            self.model.joiner, batch.encoded.out, self._predicted(batch), batch.targets,
            batch.encoded.lengths, batch.target_lengths,
        )  # fmt: skip

    def _predicted(self, batch: Labelled) -> Tensor:
        """(N, U + 1, P); in training a share of the labels is hidden."""
        share, hidden = self.config.loss.label_dropout, None
        if self.training and share > 0:
            hidden = torch.rand(batch.targets.shape, device=batch.targets.device) < share
        return self.model.predicted(batch.targets, batch.target_lengths, hidden=hidden)

    def own_state(self) -> dict[str, Tensor]:
        """The weights that the model does not have."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("model.")}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Put the weights of `own_state` back."""
        self.load_state_dict({**state, **self.model.state_dict(prefix="model.")})

    def _nothing_of_every_weight(self) -> Tensor:
        """Zero, with a zero gradient for each weight, because DDP needs a gradient of every one.

        Without the transducer loss, predictor and joiner get no other gradient. If the last CTC
        loss is an intermediate one, the blocks above it get none either.
        """
        return torch.stack([p.sum() * 0.0 for p in self.parameters() if p.requires_grad]).sum()


def _finite(posterior: Tensor) -> Tensor:
    """(N, V) weights to draw from: uniform for an utterance whose posterior is not finite.

    The utterance's loss is not finite either, so the trainer skips the step.
    """
    whole = torch.isfinite(posterior).all(dim=-1, keepdim=True)
    return torch.where(whole, posterior, 1.0 / posterior.shape[-1])
