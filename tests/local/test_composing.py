"""Utterances put together from recordings; the corpora's own rules are tested with them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet
from lhotse.cut import MonoCut

from local.composing import (
    MAX_SECONDS,
    Composer,
    Deck,
    join,
    recordings_of,
    text_of,
    write_sets,
)
from tests.local.conftest import MakeCut

WORDS = ["one", "two", "three", "four", "five", "six"]


class AnyOrder(Composer):
    def draw(self, deck: Deck, rng: random.Random) -> list[str]:
        return self.draw_any(deck, rng, max_parts=3)


@pytest.fixture
def parts(make_cut: MakeCut) -> dict[str, MonoCut]:
    return {word: make_cut(word, seconds=0.5, text=word) for word in WORDS}


def test_deck_deals_every_card_before_any_again() -> None:
    deck = Deck({c: 1.0 for c in "abcdefg"}, random.Random(0))
    for _ in range(3):
        assert sorted(deck.draw(1.0) or "" for _ in range(7)) == list("abcdefg")
    assert deck.draw(0.5) is None


def test_no_split_says_what_another_says(parts: dict[str, MonoCut]) -> None:
    composer = AnyOrder(parts, said={"one two"}, name="x", seed=1)
    train, test = (composer.compose(split, seconds=40) for split in ("train", "test"))
    assert not {*map(text_of, train)} & {*map(text_of, test)}
    assert "one two" not in {*map(text_of, train + test)}
    assert [cut.id for cut in train[:2]] == ["x-train-00000", "x-train-00001"]
    for cut in train + test:
        assert 2 <= len(text_of(cut).split()) <= 3
        assert len(recordings_of(cut)) == len({*text_of(cut).split()})
        assert cut.duration <= MAX_SECONDS


def test_too_little_to_say_is_an_error(parts: dict[str, MonoCut]) -> None:
    composer = AnyOrder({w: parts[w] for w in WORDS[:2]}, said=set(), name="x", seed=1)
    composer.compose("train", seconds=120)
    with pytest.raises(ValueError, match="^x: nothing new is left to say with 2 recordings"):
        composer.compose("dev", seconds=120)


def test_the_sound_is_that_of_the_parts(parts: dict[str, MonoCut]) -> None:
    cut = join([parts[word] for word in WORDS[:3]], name="x", rng=random.Random(0))
    audio = cut.load_audio()[0]
    assert audio.shape == (cut.num_samples,)
    heard = [track for track in cut.tracks if hasattr(track.cut, "recording")]
    end = 0.0
    for word, track in zip(WORDS, heard, strict=False):
        begin = round(track.offset * 16000)
        alone = parts[word].load_audio()[0]
        inside = audio[begin : begin + len(alone)]
        gain = float(inside @ alone / (alone @ alone))
        assert 10 ** (-3 / 20) - 1e-3 <= gain <= 10 ** (3 / 20) + 1e-3
        assert np.abs(inside - gain * alone).max() < 1e-3
        assert not audio[round(end * 16000) : begin].any()
        assert end == 0 or 0.0999 < track.offset - end < 0.4001
        end = track.offset + track.cut.duration


def test_sets_are_written_by_name(parts: dict[str, MonoCut], tmp_path: Path) -> None:
    write_sets({"dev": [*parts.values()]}, tmp_path, corpus="mini")
    assert [path.name for path in tmp_path.glob("mini*")] == ["mini_cuts_raw_dev.jsonl.gz"]
    cuts = CutSet.from_file(tmp_path / "mini_cuts_raw_dev.jsonl.gz")
    assert [text_of(cut) for cut in cuts] == WORDS
