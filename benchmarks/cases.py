"""Inputs for all losses of the benchmark: shapes of real utterances, and their tensors."""

from __future__ import annotations

import csv
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from icefall_sampled.errors import UserError

SHAPES = Path(__file__).with_name("shapes.csv")
KINDS = ("random", "sorted")
PADDED_BIAS = -30.0
"""Bias of the classes that pad a trained output layer: their posterior is practically zero."""

Shape = tuple[int, int]
"""Encoder frames T and labels U of an utterance."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One measurement: the loss, its inputs and options."""

    method: str
    vocab_size: int
    num_sampled: int
    joiner_width: int
    batch: str
    """Name of the batch: random-0, sorted-2, sweep-T …"""
    shapes: tuple[Shape, ...]
    """Shape of each utterance; trained posteriors have the nearest possible shapes."""
    posteriors: str
    """"random" or "trained"."""
    flush: bool
    """Whether denormal numbers are flushed to zero."""
    threads: int
    device: str
    seed: int

    def to_json(self) -> dict[str, Any]:
        """A dictionary for json.dumps."""
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> Setting:
        """The inverse of `to_json`."""
        shapes = tuple((int(t), int(u)) for t, u in fields["shapes"])
        return Setting(**{**fields, "shapes": shapes})


@dataclass(frozen=True, kw_only=True)
class Case:
    """The tensors of one measurement; the first six require gradients."""

    encoder_out: Tensor
    """(N, T, J)"""
    predictor_out: Tensor
    """(N, U + 1, J)"""
    weight: Tensor
    """(V, J)"""
    bias: Tensor
    """(V,)"""
    simple_am: Tensor
    """(V, J): for the pruned losses, whose simple joiner adds two projections to V."""
    simple_lm: Tensor
    """(V, J)"""
    targets: Tensor
    """(N, U) in [1, V)"""
    encoder_lengths: Tensor
    """(N,)"""
    target_lengths: Tensor
    """(N,)"""
    probs: Tensor
    """(N, V) mean CTC posterior to sample from."""
    uniform: bool
    """Whether to sample uniformly instead."""

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors that require gradients."""
        return [x for x in self._tensors().values() if x.requires_grad]

    def _tensors(self) -> dict[str, Tensor]:
        return {k: x for k, x in vars(self).items() if isinstance(x, Tensor)}

    def prepared(self, device: torch.device) -> Case:
        """The tensors on a device, as leaves."""
        moved: dict[str, Any] = {k: x.detach().to(device) for k, x in self._tensors().items()}
        wanted = "encoder_out predictor_out weight bias simple_am simple_lm"
        for name in wanted.split():
            moved[name].requires_grad_()
        return Case(**moved, uniform=self.uniform)


def draw_shapes(kind: str, *, batch_size: int, count: int, seed: int) -> list[tuple[Shape, ...]]:
    """Batches of LibriSpeech shapes.

    Args:
        kind: "random" utterances, or "sorted" by length, so that a batch has similar ones.
        batch_size: N.
        count: number of batches; those of "sorted" are spread over the corpus.
        seed: of the random choices; a larger count only appends batches.

    Raises:
        UserError: if the kind is unknown or there are not that many batches.
    """
    if kind not in KINDS:
        raise UserError(f"batches must be among {KINDS}, was {kind!r}")
    with SHAPES.open() as file:
        rows = sorted((int(r["encoder_frames"]), int(r["labels"])) for r in csv.DictReader(file))
    generator = random.Random(f"{kind} {seed}")
    if kind == "random":
        generator.shuffle(rows)
    batches = [tuple(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
    batches = [batch for batch in batches if len(batch) == batch_size]
    if not 0 < count <= len(batches):
        raise UserError(
            f"num_batches must be from 1 to {len(batches)} at a batch_size of {batch_size}, "
            f"was {count}"
        )
    generator.shuffle(batches)
    return batches[:count]


def random_case(setting: Setting) -> Case:
    """An untrained model: unit normal encoder and predictor, logits with a spread of about 0.9."""
    generator = torch.Generator().manual_seed(setting.seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    frames, labels = (torch.tensor(column) for column in zip(*setting.shapes, strict=True))
    size, width, vocab = len(frames), setting.joiner_width, setting.vocab_size
    longest = int(labels.max())
    return Case(
        encoder_out=normal(size, int(frames.max()), width),
        predictor_out=normal(size, longest + 1, width),
        weight=normal(vocab, width) * 0.05,
        bias=torch.zeros(vocab),
        simple_am=normal(vocab, width) * 0.05,
        simple_lm=normal(vocab, width) * 0.05,
        targets=torch.randint(1, vocab, (size, longest), generator=generator),
        encoder_lengths=frames,
        target_lengths=labels,
        probs=torch.rand(size, vocab, generator=generator),
        uniform=True,
    )


def trained_case(setting: Setting, outputs: dict[str, Tensor]) -> Case:
    """A trained model's outputs in the wanted size, with unchanged posteriors.

    The joiner is widened with zeros. The vocabulary is padded with classes whose logit is always
    -30. The model was trained without the simple joiner of the pruned losses, so this gets the
    weights of the output layer.

    Args:
        setting: joiner width and vocabulary, neither smaller than the model's.
        outputs: see `benchmarks.trained.outputs`.
    """
    more = setting.joiner_width - outputs["weight"].shape[1]
    classes = setting.vocab_size - len(outputs["weight"])
    if more < 0 or classes < 0:
        raise UserError(
            f"joiner_width and vocab_size must be at least the model's, "
            f"{outputs['weight'].shape[1]} and {len(outputs['weight'])}, "
            f"were {setting.joiner_width} and {setting.vocab_size}"
        )
    pad = torch.nn.functional.pad
    weight = pad(outputs["weight"], (0, more, 0, classes))
    return Case(
        encoder_out=pad(outputs["encoder_out"], (0, more)),
        predictor_out=pad(outputs["predictor_out"], (0, more)),
        weight=weight,
        bias=pad(outputs["bias"], (0, classes), value=PADDED_BIAS),
        simple_am=weight.clone(),
        simple_lm=weight.clone(),
        targets=outputs["targets"],
        encoder_lengths=outputs["encoder_lengths"],
        target_lengths=outputs["target_lengths"],
        probs=pad(outputs["probs"], (0, classes)),
        uniform=False,
    )
