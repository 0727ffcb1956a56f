"""Outputs of a trained model for real speech, in about the sizes that the benchmark asks for.

Announcements of the recipe's dev set are joined until they are as long as a LibriSpeech utterance:
both features and texts are concatenated.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.cases import Shape
from icefall_sampled import checkpoint
from icefall_sampled.data import Utterances, read_cuts, usable_cuts
from icefall_sampled.errors import UserError
from icefall_sampled.model_files import config_of
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.encoder import frame_counter
from icefall_sampled.sampling import mean_posterior
from icefall_sampled.tokens import load_tokens

Utterance = tuple[Tensor, Tensor]
"""(frames, 80) features and (U,) targets."""

SLOWEST = 10
"""Maximum encoder frames for each label: slower utterances are skipped if `exact_frames`."""


@dataclass(frozen=True)
class Trained:
    """A model, and real speech for it."""

    model: Transducer
    utterances: list[Utterance]

    @staticmethod
    def load(exp_dir: Path) -> Trained:
        """Load the newest checkpoint and the dev set of a training run's folder.

        Raises:
            UserError: if there is no checkpoint, no CTC head or no data.
        """
        paths = checkpoint.find(exp_dir)
        if not paths:
            raise UserError(f"checkpoint is {exp_dir}, it must be a training run's exp_dir")
        state = checkpoint.load(paths[-1])
        factories, config = config_of(state)
        tokens = load_tokens(config.data.lang_dir)
        model = factories.model(config, tokens.vocab_size)
        model.load_state_dict(state["model"])
        if model.ctc is None:
            raise UserError(f"checkpoint is {exp_dir}, its model must have a CTC head")
        if config.joiner.activation != "tanh":
            raise UserError(f"checkpoint is {exp_dir}, its joiner's activation must be tanh")
        cuts = read_cuts(config.data.dev_cuts, argument="data.dev_cuts")
        frames = frame_counter(model.encoder)
        usable, _ = usable_cuts(cuts, tokens, config.data, output_frames=frames, quiet=True)
        batch = Utterances(tokens)[usable]  # type: ignore[index]
        utterances = [
            (features[:frames], targets[:labels])
            for features, frames, targets, labels in zip(
                batch.features, batch.lengths, batch.targets, batch.target_lengths, strict=True
            )
        ]
        return Trained(model.eval(), utterances)

    def endless(self, seed: int) -> Iterator[Utterance]:
        """All utterances in random order, repeatedly, each time in another order."""
        generator, order = random.Random(seed), list(self.utterances)
        while True:
            generator.shuffle(order)
            yield from order

    @torch.no_grad()
    def outputs(
        self, shapes: Sequence[Shape], *, seed: int, exact_frames: bool = False
    ) -> dict[str, Tensor]:
        """The tensors from which `trained_case` makes a case.

        Args:
            shapes: wanted (T, U) of each utterance. It gets the number of announcements that comes
                nearest to T frames, with any U.
            seed: of the choice of announcements.
            exact_frames: take announcements of about U labels instead, and insert pauses evenly
                to reach exactly T frames; longer ones stay longer.
        """
        source = self.endless(seed)
        joined = [
            self._join_labels(source, labels) if exact_frames else self._join_frames(source, frames)
            for frames, labels in shapes
        ]
        lengths = torch.tensor([len(features) for features, _ in joined])
        targets = [text for _, text in joined]
        features = pad_sequence([features for features, _ in joined], batch_first=True)
        encoded = self.model.encode(features, lengths)
        rows = [row[:frames] for row, frames in zip(encoded.out, encoded.lengths, strict=True)]
        if exact_frames:
            wanted = [frames for frames, _ in shapes]
            rows = [self._fill(row, n) for row, n in zip(rows, wanted, strict=True)]
        return self._outputs(rows, targets)

    def _join_frames(self, source: Iterator[Utterance], wanted: int) -> Utterance:
        """The number of announcements that comes nearest to the wanted encoder frames."""
        pieces: list[Utterance] = []
        size = 0
        for piece in source:
            before, size = size, size + self._frames(piece)
            if pieces and size - wanted > wanted - before:
                break
            pieces.append(piece)
            if size >= wanted:
                break
        return _joined(pieces)

    def _join_labels(self, source: Iterator[Utterance], wanted: int) -> Utterance:
        """Announcements with about the wanted number of labels; slow ones are skipped."""
        pieces: list[Utterance] = []
        size = 0
        for piece in islice(source, 20 * len(self.utterances)):
            labels = len(piece[1])
            fits = size + labels <= max(wanted + 2, 1.15 * wanted)
            if fits and self._frames(piece) <= SLOWEST * labels:
                pieces.append(piece)
                size += labels
            if size >= 0.9 * wanted:
                return _joined(pieces)
        raise UserError(f"checkpoint must have dev utterances that make {wanted} labels")

    def _frames(self, piece: Utterance) -> int:
        return frame_counter(self.model.encoder)(len(piece[0]))

    def _fill(self, row: Tensor, wanted: int) -> Tensor:
        """(T, D) stretched to `wanted` frames with copies of the likeliest blank frame."""
        assert self.model.ctc is not None
        missing = wanted - len(row)
        if missing <= 0:
            return row
        pause = row[self.model.ctc.log_probs(row[None])[0, :, 0].argmax()]
        places = torch.linspace(0, wanted - 1, len(row)).round().long()
        filled = pause.expand(wanted, -1).clone()
        filled[places] = row
        return filled

    def _outputs(self, rows: list[Tensor], targets: list[Tensor]) -> dict[str, Tensor]:
        model = self.model
        assert model.ctc is not None
        frames = torch.tensor([len(row) for row in rows])
        labels = torch.tensor([len(text) for text in targets])
        encoded, text = pad_sequence(rows, batch_first=True), pad_sequence(targets, True)
        return {
            "encoder_out": model.joiner.encoder_projection(encoded),
            "predictor_out": model.predict(text, labels),
            "weight": model.joiner.output.weight.detach(),
            "bias": model.joiner.output.bias.detach(),
            "targets": text,
            "encoder_lengths": frames,
            "target_lengths": labels,
            "probs": mean_posterior(model.ctc.log_probs(encoded), frames),
        }


def _joined(pieces: list[Utterance]) -> Utterance:
    features, targets = zip(*pieces, strict=True)
    return torch.cat(features), torch.cat(targets)
