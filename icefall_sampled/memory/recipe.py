"""The inputs of a prediction: a variant of a recipe, and the utterances of its corpus."""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from icefall_sampled.config import Config
from icefall_sampled.data import read_cuts
from icefall_sampled.memory.stages import Utterance
from icefall_sampled.tokens import load_tokens

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = Path("sampled_transducer/train.py")

DENSE_PERCENTILE = 95
"""Percentile of labels a second: a batch is as wide as its densest utterance."""
LIBRISPEECH_LABELS_PER_SECOND = 7.06
"""Used if no corpus is prepared: the same percentile of 4,000 random utterances of LibriSpeech's
train-clean-100 with 500 pieces, from the lengths in the public transducer-loss-benchmarking
repository (the mean is 5.31). A larger vocabulary has fewer labels a second."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The properties of a corpus that determine memory."""

    vocab_size: int
    utterance: Utterance
    """The longest that is trained on."""
    source: str
    """Where length and labels come from, as a phrase."""


def load_variants(recipe: str) -> dict[str, Config]:
    """The variants of a recipe: a folder like egs/asterisk/ASR, or its corpus, `asterisk`.

    The recipe's program is loaded by its path: the library does not import recipes.

    Raises:
        ValueError: if there is no such recipe.
    """
    folders = [Path(recipe), REPOSITORY / "egs" / recipe / "ASR"]
    program = next((f / PROGRAM for f in folders if (f / PROGRAM).is_file()), None)
    if program is None:
        known = sorted(p.parents[2].name for p in REPOSITORY.glob(f"egs/*/ASR/{PROGRAM}"))
        raise ValueError(
            f"recipe is {recipe!r}, it must be a folder with {PROGRAM} or a corpus of egs: "
            + ", ".join(known)
        )
    name = "recipe_of_memory"
    spec = importlib.util.spec_from_file_location(name, program)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    if not hasattr(module, "variants"):
        raise ValueError(f"recipe is {recipe!r}, its {PROGRAM} must have a function variants()")
    variants: dict[str, Config] = module.variants()
    return variants


def choose(variants: dict[str, Config], variant: str) -> Config:
    """A variant by name.

    Raises:
        ValueError: if there is no variant of this name; the message lists the variants.
    """
    if variant not in variants:
        raise ValueError(f"variant is {variant!r}, it must be one of " + ", ".join(variants))
    return variants[variant]


def corpus_of(
    config: Config,
    *,
    vocab_size: int | None = None,
    utterance_seconds: float | None = None,
    labels_per_second: float | None = None,
) -> Corpus:
    """The properties that determine memory; those not given are read from the prepared corpus.

    Raises:
        ValueError: if V is neither given nor found.
    """
    if vocab_size is None:
        vocab_size = _vocab_size(config)
    from_where = []
    seconds, density = utterance_seconds, labels_per_second
    if seconds is None or density is None:
        lengths = _lengths(config)
        if seconds is None:
            seconds = lengths.seconds
            from_where.append(f"length: {lengths.seconds_from}")
        if density is None:
            density = lengths.labels_per_second
            from_where.append(f"labels: {lengths.labels_from}")
    seconds = math.ceil(100 * seconds) / 100
    utterance = Utterance(seconds, max(1, math.ceil(seconds * density)))
    return Corpus(
        vocab_size=vocab_size, utterance=utterance, source="; ".join(from_where) or "as given"
    )


def _vocab_size(config: Config) -> int:
    try:
        return load_tokens(config.data.lang_dir).vocab_size
    except ValueError as error:
        raise ValueError(f"{error}; or give --vocab-size") from None


class _Lengths(NamedTuple):
    seconds: float
    labels_per_second: float
    seconds_from: str
    labels_from: str


def _lengths(config: Config) -> _Lengths:
    """The length of the longest utterance, and the label density at `DENSE_PERCENTILE`."""
    data = config.data
    try:
        tokens = load_tokens(data.lang_dir)
        cuts = read_cuts(data.train_cuts, argument="data.train_cuts")
    except ValueError:
        return _Lengths(
            data.max_utterance_seconds,
            LIBRISPEECH_LABELS_PER_SECOND,
            "data.max_utterance_seconds, for there is no corpus yet",
            "those of LibriSpeech, for there is no corpus yet",
        )
    longest, densities = 0.0, []
    for cut in cuts:
        if data.min_utterance_seconds <= cut.duration <= data.max_utterance_seconds:
            text = " ".join(s.text or "" for s in cut.supervisions)
            densities.append(len(tokens.encode(text)) / cut.duration)
            longest = max(longest, cut.duration)
    if not densities:
        raise ValueError(f"data.train_cuts is {data.train_cuts}, no cut of it is short enough")
    densities.sort()
    dense = densities[min(len(densities) - 1, len(densities) * DENSE_PERCENTILE // 100)]
    share = f"{100 - DENSE_PERCENTILE} % of the training cuts have more a second"
    return _Lengths(longest, dense, "the longest training cut", share)
