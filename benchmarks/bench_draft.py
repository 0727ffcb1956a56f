#!/usr/bin/env python3
"""The accuracy of a draft pass: loss and gradient with and without it, on trained models.

    python benchmarks/bench_draft.py --checkpoints exp/example_ctc/step-*.pt --out draft.csv

For each checkpoint, softmax (sampled and full), number of negatives in the draft and threshold:
the share of lattice nodes kept, the relative error of each utterance's loss, and the cosine
between gradients with and without the draft, for the joiner's four inputs. "No draft" rows show
the effect of `min_occupancy` alone.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from icefall_sampled import checkpoint
from icefall_sampled.cli import run_script
from icefall_sampled.data import Batch, Utterances, read_cuts, usable_cuts
from icefall_sampled.lengths import padding_mask
from icefall_sampled.losses import transducer_loss
from icefall_sampled.losses.draft import draft_log_probs, worthwhile_nodes
from icefall_sampled.losses.joiner_chunks import Joiner
from icefall_sampled.model_files import config_of
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.encoder import frame_counter
from icefall_sampled.sampling import (
    SampledVocabulary,
    likely_vocabulary,
    max_positives,
    mean_posterior,
    sample_vocabulary,
)
from icefall_sampled.tokens import TokenTable, load_tokens

NEGATIVES = (0, 8, 16, 32, 64)
THRESHOLDS = (1e-4, 1e-5, 1e-6)
COLUMNS = (
    "checkpoint", "softmax", "negatives", "min_occupancy", "utterances", "mean_labels",
    "mean_frames", "mean_loss", "nodes_kept", "loss_error_mean", "loss_error_median",
    "loss_error_max", "cosine_mean", "cosine_min",
)  # fmt: skip


def batches(model: Transducer, tokens: TokenTable, seconds: float, count: int) -> Iterator[Batch]:
    """`count` batches of dev, spread over the range of durations."""
    config, frames = model.config, frame_counter(model.encoder)
    cuts = read_cuts(config.data.dev_cuts, argument="data.dev_cuts")
    usable, _ = usable_cuts(cuts, tokens, config.data, output_frames=frames)
    ordered = sorted(usable, key=lambda cut: (cut.duration, cut.id))
    for i in range(count):
        first = i * len(ordered) // count
        size = max(1, int(seconds / ordered[first].duration))
        chosen = type(usable).from_cuts(ordered[first : first + size])
        yield Utterances(tokens)[chosen]


class Case:
    """One encoded batch, with its exact losses and gradients."""

    def __init__(self, model: Transducer, batch: Batch, num_sampled: int) -> None:
        with torch.no_grad():
            encoded = model.encode(batch.features, batch.lengths)
            self.posterior = mean_posterior(model.ctc_log_probs(encoded), encoded.lengths)
            inputs = (
                model.joiner.encoder_projection(encoded.out),
                model.predict(batch.targets, batch.target_lengths),
                model.joiner.output.weight,
                model.joiner.output.bias,
            )
        self.inputs = [x.detach().clone().requires_grad_() for x in inputs]
        self.targets, self.lengths = batch.targets, (encoded.lengths, batch.target_lengths)
        self.activation = model.config.joiner.activation
        self.vocabulary: SampledVocabulary | None = None
        if num_sampled:
            needed = max_positives(batch.targets, batch.target_lengths)
            self.vocabulary = sample_vocabulary(
                batch.targets,
                batch.target_lengths,
                vocab_size=model.vocab_size,
                num_sampled=max(num_sampled, needed),
                probs=self.posterior,
                generator=torch.Generator().manual_seed(0),
            )
        self.exact = self.losses(None, 0.0)

    def draft(self, negatives: int) -> SampledVocabulary:
        return likely_vocabulary(
            self.targets,
            self.lengths[1],
            self.posterior,
            num_negatives=negatives,
            within=self.vocabulary,
        )

    def losses(
        self, draft: SampledVocabulary | None, min_occupancy: float
    ) -> tuple[Tensor, list[Tensor]]:
        """(N,) losses and the four gradients."""
        losses = transducer_loss(
            *self.inputs,
            self.targets,
            *self.lengths,
            vocabulary=self.vocabulary,
            draft=draft,
            activation=self.activation,
            min_occupancy=min_occupancy,
            reduction="none",
        )
        return losses.detach(), list(torch.autograd.grad(losses.sum(), self.inputs))

    def kept(self, draft: SampledVocabulary | None, min_occupancy: float) -> tuple[float, float]:
        """The number of nodes that the draft keeps, and of all nodes."""
        encoder_out, predictor_out, weight, bias = (x.detach() for x in self.inputs)
        frames, labels = self.lengths
        nodes = ~padding_mask(frames, encoder_out.shape[1])[:, :, None]
        nodes = nodes & ~padding_mask(labels + 1, predictor_out.shape[1])[:, None]
        everything = float(nodes.sum())
        if draft is None:
            return everything, everything
        joiner = Joiner(
            encoder_out,
            predictor_out,
            weight,
            bias,
            ids=None if self.vocabulary is None else self.vocabulary.ids,
            labels=predictor_out.new_zeros(predictor_out.shape[:2], dtype=torch.int64),
            activation=self.activation,
            dtype=torch.float32,
            matmul_dtype=torch.float32,
        )
        blank, label = draft_log_probs(joiner, draft, self.lengths)
        keep = worthwhile_nodes(blank, label[:, :, :-1], *self.lengths, min_occupancy=min_occupancy)
        return float(keep.sum()), everything


def measure(cases: list[Case], negatives: int | None, min_occupancy: float) -> dict[str, float]:
    """Errors over all cases with one draft (None: no draft)."""
    errors, cosines, kept = [], [], torch.zeros(2, dtype=torch.float64)
    for case in cases:
        draft = None if negatives is None else case.draft(negatives)
        losses, gradients = case.losses(draft, min_occupancy)
        exact, exact_gradients = case.exact
        errors.append((losses - exact).abs() / exact)
        cosines += [min(_cosine(a, b) for a, b in zip(gradients, exact_gradients, strict=True))]
        kept += torch.tensor(case.kept(draft, min_occupancy))
    error, cosine = torch.cat(errors).double(), torch.tensor(cosines)
    return {
        "nodes_kept": float(kept[0] / kept[1]),
        "loss_error_mean": float(error.mean()),
        "loss_error_median": float(error.median()),
        "loss_error_max": float(error.max()),
        "cosine_mean": float(cosine.mean()),
        "cosine_min": float(cosine.min()),
    }


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a.double().flatten(), b.double().flatten(), 0))


def rows(
    path: Path, *, num_batches: int, seconds: float, full: bool
) -> Iterator[dict[str, object]]:
    """All rows of one checkpoint and softmax."""
    state = checkpoint.load(path)
    factories, config = config_of(state)
    tokens = load_tokens(config.data.lang_dir)
    model = factories.model(config, tokens.vocab_size)
    model.load_state_dict(state["model"])
    model.eval()
    num_sampled = 0 if full else config.sampling.num_sampled
    cases = [
        Case(model, batch, num_sampled) for batch in batches(model, tokens, seconds, num_batches)
    ]
    frames, labels = (torch.cat([c.lengths[i] for c in cases]).double() for i in (0, 1))
    common = {
        "checkpoint": path.name,
        "softmax": "full" if full else f"sampled {num_sampled}",
        "utterances": len(frames),
        "mean_labels": float(labels.mean()),
        "mean_frames": float(frames.mean()),
        "mean_loss": float(torch.cat([c.exact[0] for c in cases]).mean()),
    }
    for negatives in (None, *NEGATIVES):
        for min_occupancy in THRESHOLDS:
            figures = measure(cases, negatives, min_occupancy)
            yield {
                **common,
                "negatives": "no draft" if negatives is None else negatives,
                "min_occupancy": min_occupancy,
                **figures,
            }


def main(
    *, checkpoints: list[Path], out: Path, num_batches: int = 10, batch_seconds: float = 12.5
) -> None:
    """Measure the accuracy of drafts of several sizes.

    Args:
        checkpoints: of recipes in this repository; their dev cuts must still exist.
        out: CSV to write.
        num_batches: batches of dev, from its shortest utterances to its longest.
        batch_seconds: speech in each batch.
    """
    torch.set_flush_denormal(True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for path in tqdm(checkpoints, unit="checkpoint", file=sys.stderr):
            for full in (False, True):
                for row in rows(path, num_batches=num_batches, seconds=batch_seconds, full=full):
                    writer.writerow(row)
                    file.flush()


if __name__ == "__main__":
    run_script(main)
