"""Predict the memory of a training step, and the largest batch that a GPU holds.

python -m icefall_sampled.memory RECIPE VARIANT --gpu-mib 24576
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from icefall_sampled.config import Config
from icefall_sampled.memory.predict import Prediction, largest_batch, predict
from icefall_sampled.memory.recipe import Corpus, choose, corpus_of, load_variants


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The largest batches of a variant that fit."""

    fused: Prediction
    num_fused: int
    """Utterances in the largest batch."""
    stored: Prediction
    """The same with logits stored, as in the paper."""
    num_stored: int
    stores: bool
    """Whether the variant itself stores its logits."""

    @property
    def prediction(self) -> Prediction:
        """The prediction for the variant as configured."""
        return self.stored if self.stores else self.fused

    @property
    def num(self) -> int:
        """Utterances in the largest batch of the variant as configured."""
        return self.num_stored if self.stores else self.num_fused


def fit(config: Config, corpus: Corpus, mib: float) -> Fit:
    """The largest batches of a config within `mib`."""
    fused, stored = (
        predict(
            replace(config, loss=replace(config.loss, implementation=how)),
            corpus.utterance,
            corpus.vocab_size,
        )
        for how in ("fused", "naive")
    )
    return Fit(
        fused=fused,
        num_fused=largest_batch(fused, mib),
        stored=stored,
        num_stored=largest_batch(stored, mib),
        stores=config.loss.implementation == "naive",
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    """Aligned columns: the first is left-aligned, the others are right-aligned."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    )


def components(prediction: Prediction, num: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows: memory of each component alone, and its share of the step's peak."""
    own, more, peak = prediction.own(num), prediction.own(num + 1), prediction.peak(num)
    rows = []
    for name, mib in own.items():
        each = more[name] - mib
        rows.append([name, *(f"{x:.1f}" for x in (mib - num * each, each, mib, peak[name]))])
    rows.append(["total", "", f"{prediction.total(num + 1) - prediction.total(num):.1f}", "",
                 f"{prediction.total(num):.1f}"])  # fmt: skip
    unit = "utterance" if num == 1 else "utterances"
    return ["MiB in float32", "fixed", "an utterance", f"{num} {unit}", "at the peak"], rows


def variants_table(fits: dict[str, Fit], seconds: float) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the largest max_duration_seconds of each variant."""
    rows = [
        [name, f"{one.num_fused * seconds:.1f}", f"{one.num_stored * seconds:.1f}"]
        for name, one in fits.items()
    ]
    return ["largest max_duration_seconds", "fused loss", "logits stored"], rows


def advice(variant: str, fits: dict[str, Fit], seconds: float, gpu_mib: float, room: float) -> str:
    """Two sentences: the largest batch, and the variant that allows the largest of all."""
    one = fits[variant]
    best = max(fits, key=lambda name: fits[name].num)
    if one.num == 0:
        first = (
            f"Not even one utterance of {seconds:g} s fits: a step of {variant} needs "
            f"{one.prediction.total(1):.0f} MiB, and {room:.0f} of {gpu_mib:.0f} are there."
        )
    else:
        first = (
            f"The largest max_duration_seconds of {variant} in {room:.0f} of {gpu_mib:.0f} MiB is "
            f"{one.num * seconds:.1f}: {one.num} x {seconds:g} s."
        )
    if fits[best].num == 0:
        return f"{first} Nor does any other variant fit."
    if fits[best].num == one.num:
        return f"{first} No variant would let it grow."
    grown = f"{best} would let it grow to {fits[best].num * seconds:.1f}"
    if one.num:
        grown += f", by {100 * (fits[best].num / one.num - 1):.0f} %"
    return f"{first} {grown}."


def main(
    recipe: str,
    variant: str,
    /,
    *,
    gpu_mib: float,
    reserve_mib: float = 1024.0,
    utterance_seconds: float | None = None,
    labels_per_second: float | None = None,
    vocab_size: int | None = None,
    json_file: Path | None = None,
) -> None:
    """Predict the memory of a training step, and the largest batch that a GPU holds.

    Each part of the step is run on a small batch on this CPU and extrapolated; a GPU's kernels may
    need more or less. `python -m icefall_sampled.memory measure --exp-dir DIR` measures instead.

    Args:
        recipe: folder of a recipe, such as egs/asterisk/ASR, or its corpus, such as asterisk.
        variant: a variant of the recipe.
        gpu_mib: memory of the GPU, in MiB.
        reserve_mib: memory left for CUDA itself, the workspaces of its libraries and
            fragmentation: an allowance, not a measurement.
        utterance_seconds: length of every utterance in the batch; by default the longest that is
            trained on.
        labels_per_second: of these utterances; by default that of the corpus.
        vocab_size: classes with blank; by default those of the corpus.
        json_file: also write the figures to this file.
    """
    _check(gpu_mib, reserve_mib, utterance_seconds, labels_per_second, vocab_size)
    torch.set_flush_denormal(True)  # as in training: denormal numbers slow a CPU down tenfold
    variants = load_variants(recipe)
    config = choose(variants, variant)
    corpus = corpus_of(
        config,
        vocab_size=vocab_size,
        utterance_seconds=utterance_seconds,
        labels_per_second=labels_per_second,
    )
    room = gpu_mib - reserve_mib
    alike = {name: other for name, other in variants.items() if other.data == config.data}
    trying = tqdm(alike.items(), desc="trying the variants", leave=False)
    fits = {name: fit(other, corpus, room) for name, other in trying}
    print(_report(variant, config, corpus, fits))
    print("\n" + advice(variant, fits, corpus.utterance.seconds, gpu_mib, room))
    if json_file is not None:
        json_file.write_text(json.dumps(_figures(corpus, fits), indent=1) + "\n")


def _report(variant: str, config: Config, corpus: Corpus, fits: dict[str, Fit]) -> str:
    """The assumptions, and both tables."""
    one, utterance = fits[variant], corpus.utterance
    lines = [
        f"{variant}: V {corpus.vocab_size}, {utterance.seconds:g} s an utterance, "
        f"T {utterance.encoder_frames(config)} encoder frames, U {utterance.labels} labels",
        f"({corpus.source})",
    ]
    if config.training.precision != "float32":
        lines.append(f"{config.training.precision} is not modelled: the figures are of float32")
    lines += ["", table(*components(one.prediction, max(1, one.num)))]
    lines += ["", table(*variants_table(fits, utterance.seconds))]
    return "\n".join(lines)


def _check(
    gpu_mib: float,
    reserve_mib: float,
    utterance_seconds: float | None,
    labels_per_second: float | None,
    vocab_size: int | None,
) -> None:
    for name, value, lowest in (
        ("reserve_mib", reserve_mib, 0.0),
        ("utterance_seconds", utterance_seconds, 0.1),
        ("labels_per_second", labels_per_second, 0.0),
        ("vocab_size", vocab_size, 3),
    ):
        if value is not None and not lowest <= value < float("inf"):
            raise ValueError(f"{name} is {value}, it must be at least {lowest:g}")
    if not reserve_mib < gpu_mib < float("inf"):
        raise ValueError(f"gpu_mib is {gpu_mib}, it must be above reserve_mib ({reserve_mib})")


def _figures(corpus: Corpus, fits: dict[str, Fit]) -> dict[str, object]:
    seconds = corpus.utterance.seconds
    return {
        "vocab_size": corpus.vocab_size,
        "utterance_seconds": seconds,
        "labels": corpus.utterance.labels,
        "variants": {
            name: {
                "max_duration_seconds": one.num * seconds,
                "max_duration_seconds_with_logits_stored": one.num_stored * seconds,
                "mib_of_one_utterance": one.prediction.peak(1),
                "mib_at_the_peak": one.prediction.peak(max(1, one.num)),
            }
            for name, one in fits.items()
        },
    }
