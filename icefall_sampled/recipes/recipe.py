"""A recipe seen from outside: its variants, its own parts, and the utterances of its corpus."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import torch

from icefall_sampled.audio import FRAMES_PER_SECOND, NUM_MEL_BINS
from icefall_sampled.config import Config, DataConfig
from icefall_sampled.data import Batch, Utterances, read_cuts, text_of, usable_cuts
from icefall_sampled.errors import UserError
from icefall_sampled.modeling import Factories
from icefall_sampled.tokens import TokenTable, load_tokens

PROGRAM = "sampled_transducer/train.py"
EGS = Path(__file__).resolve().parents[2] / "egs"

DENSE_PERCENTILE = 95
"""Percentile of labels a second: a batch is as wide as its densest utterance."""
LIBRISPEECH_LABELS_PER_SECOND = 7.06
"""Used if no corpus is prepared: the same percentile of 4,000 random utterances of LibriSpeech's
train-clean-100 with 500 pieces, from the lengths in the public transducer-loss-benchmarking
repository (the mean is 5.31). A larger vocabulary has fewer labels a second."""


class Utterance(NamedTuple):
    """The size of every utterance in a batch: shorter ones are padded to it."""

    seconds: float
    labels: int

    @property
    def frames(self) -> int:
        """Input frames."""
        return round(self.seconds * FRAMES_PER_SECOND)

    def noise(self, num: int, *, num_classes: int) -> Batch:
        """A batch of this size with labels among the first `num_classes`: no K has to grow."""
        labels = torch.arange(self.labels) % (num_classes - 1) + 1
        return Batch(
            features=torch.randn(num, self.frames, NUM_MEL_BINS),
            lengths=torch.full((num,), self.frames),
            targets=labels.repeat(num, 1),
            target_lengths=torch.full((num,), self.labels),
            ids=[""] * num, texts=[""] * num, duration_seconds=num * self.seconds, rejected=[],
        )  # fmt: skip


def load_recipe(recipe: str) -> tuple[dict[str, Config], Factories]:
    """The variants of a recipe, and the factories that make its models.

    The recipe's program is run by its path: the library does not import recipes. Parts of its own
    are made by its functions `make_encoder`, `make_predictor` and `make_optimizer`.

    Args:
        recipe: a folder like egs/asterisk/ASR, or its corpus, `asterisk`.

    Raises:
        UserError: if there is no such recipe.
    """
    programs = [folder / PROGRAM for folder in (Path(recipe), EGS / recipe / "ASR")]
    program = next(filter(Path.is_file, programs), None)
    if program is None:
        known = sorted(path.parents[2].name for path in EGS.glob(f"*/ASR/{PROGRAM}"))
        raise UserError(
            f"recipe is {recipe!r}, it must be a folder with {PROGRAM} or a corpus of egs: "
            + ", ".join(known)
        )
    names = runpy.run_path(str(program))
    if "variants" not in names:
        raise UserError(f"recipe is {recipe!r}, its {PROGRAM} must have a function variants()")
    parts = {part.name: f"make_{part.name}" for part in fields(Factories)}
    made_by = {part: names[name] for part, name in parts.items() if name in names}
    return names["variants"](), Factories(**made_by)


def vocab_size_of(data: DataConfig, vocab_size: int | None) -> int:
    """V, as given or of the prepared corpus.

    Raises:
        UserError: if it is out of range, or neither given nor found.
    """
    _check("vocab_size", vocab_size, 3)
    try:
        return vocab_size or load_tokens(data.lang_dir).vocab_size
    except UserError as error:
        raise UserError(f"{error}; or give --vocab-size") from None


def utterance_of(
    data: DataConfig, seconds: float | None, labels_per_second: float | None
) -> tuple[Utterance, str]:
    """An utterance as long as the longest that is trained on, with many labels for its length.

    Args:
        data: names the corpus.
        seconds: its length; None to take that of the corpus.
        labels_per_second: its labels; None to take those of the corpus.

    Returns:
        The utterance, and where its length and labels come from, as a phrase.

    Raises:
        UserError: if a figure is out of range, or no cut of the corpus is trained on.
    """
    _check("utterance_seconds", seconds, 0.1)
    _check("labels_per_second", labels_per_second, 0.0)
    source = []
    if seconds is None or labels_per_second is None:
        longest, dense, longest_from, dense_from = _lengths(data)
        if seconds is None:
            seconds = longest
            source.append(f"length: {longest_from}")
        if labels_per_second is None:
            labels_per_second = dense
            source.append(f"labels: {dense_from}")
    seconds = math.ceil(100 * seconds) / 100
    labels = max(1, math.ceil(seconds * labels_per_second))
    return Utterance(seconds, labels), "; ".join(source) or "as given"


def _check(name: str, value: float | None, lowest: float) -> None:
    if value is not None and not lowest <= value < float("inf"):
        raise UserError(f"{name} is {value}, it must be at least {lowest:g}")


def _lengths(data: DataConfig) -> tuple[float, float, str, str]:
    """The longest utterance in seconds, labels a second, and where each comes from."""
    try:
        tokens = load_tokens(data.lang_dir)
        cuts = read_cuts(data.train_cuts, argument="data.train_cuts")
    except UserError:
        return (
            data.max_utterance_seconds,
            LIBRISPEECH_LABELS_PER_SECOND,
            "data.max_utterance_seconds, for there is no corpus yet",
            "those of LibriSpeech, for there is no corpus yet",
        )
    trained_on = [
        (cut.duration, len(tokens.encode(text_of(cut))) / cut.duration)
        for cut in cuts
        if data.min_utterance_seconds <= cut.duration <= data.max_utterance_seconds
    ]
    if not trained_on:
        raise UserError(f"data.train_cuts is {data.train_cuts}, no cut of it is short enough")
    durations, densities = zip(*trained_on, strict=True)
    place = min(len(densities) - 1, len(densities) * DENSE_PERCENTILE // 100)
    share = f"{100 - DENSE_PERCENTILE} % of the training cuts have more a second"
    return max(durations), sorted(densities)[place], "the longest training cut", share


def longest_batch(
    data: DataConfig, tokens: TokenTable, output_frames: Callable[[int], int], seconds: float
) -> Batch:
    """The longest utterances of the training set that fit into a batch of so many seconds.

    Raises:
        UserError: if there are none.
    """
    cuts = read_cuts(data.train_cuts, argument="data.train_cuts")
    usable, _ = usable_cuts(cuts, tokens, data, output_frames=output_frames)
    longest = sorted(usable, key=lambda cut: (-cut.duration, cut.id))
    count = max(1, int(seconds / longest[0].duration))
    return Utterances(tokens)[longest[:count]]  # type: ignore[index]
