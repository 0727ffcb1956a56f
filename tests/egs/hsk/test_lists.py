"""Lists of the words of training."""

from __future__ import annotations

import random

import pytest
from hsk_check_sets import check_lists
from hsk_lists import Lists
from hsk_sets import runs_in
from lhotse import AudioSource
from lhotse.cut import MixedCut, MonoCut
from lhotse.testing.dummies import dummy_cut, dummy_recording, dummy_supervision
from lhotse.utils import fastcopy

from local.composing import join, text_of


def spoken(number: int, word: str, syllables: str) -> MonoCut:
    source = AudioSource(type="file", channels=[0], source=f"cmn-{word}.mp3")
    recording = fastcopy(dummy_recording(number), sources=[source])
    supervision = dummy_supervision(number, text=word)
    supervision.custom = {"word": word, "syllables": syllables}
    return dummy_cut(number, recording=recording, supervisions=[supervision]).drop_features()


ONE, TWO, OTHER = spoken(1, "一", "yi1"), spoken(2, "二", "er4"), spoken(3, "三", "san1")


def listed(*words: MonoCut) -> MixedCut:
    return join([*words], name="x", rng=random.Random(0))


def test_no_list_says_a_held_out_word() -> None:
    """In characters, too, where other words may stand for the same syllables."""
    words = {cut.id: cut for cut in (ONE, TWO, OTHER)}

    def lists(held_out: set[str]) -> set[str]:
        composer = Lists(words, held_out=held_out, seed=1)
        return {text_of(cut) for cut in composer.compose("train", seconds=100)}

    assert any("一 二" in text for text in lists(set()))
    without = lists({"yi1 er4", "san1"})
    assert not any("一 二" in text for text in without)
    assert any("三 一" in text for text in without)


def test_what_stands_in_a_row() -> None:
    assert runs_in("a b c") == {"a b", "b c", "a b c"}
    assert runs_in("a") == set()


def test_a_broken_promise_of_lists_is_named() -> None:
    words, forward, back = [ONE, TWO], listed(ONE, TWO), listed(TWO, ONE)
    check_lists(words, [forward], [back], held_out={"yi1", "er4 er4"})
    check_lists(words, [], [], held_out={"yi1 er4"})
    strange = listed(ONE, OTHER)
    for train, test, held_out, sentence in (
        ([forward, back], [forward], "san1", "^train and test-lists share 1 lists, e.g. 一 二$"),
        ([forward], [strange], "san1", "^test-lists has lists of other words, e.g. cmn-三.mp3$"),
        ([strange], [], "san1", "^train has lists of other words"),
        ([forward], [back], "er4 yi1", "^test-lists has lists with 1 held-out words in them, e.g."),
    ):
        with pytest.raises(ValueError, match=sentence):
            check_lists(words, train, test, held_out={held_out})
