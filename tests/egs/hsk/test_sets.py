"""Which words training hears."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hsk_check_sets import check_sets
from hsk_manifests import Units, syllables_of
from hsk_sets import PERCENT, heard_inside, set_of, split
from lhotse import SupervisionSegment

from tests.replicas import hsk


def word(text: str, units: Units = "syllables", syllables: str | None = None) -> SupervisionSegment:
    syllables = syllables or " ".join(syllables_of(text))
    return SupervisionSegment(
        id=f"cmn-{text}", recording_id=f"cmn-{text}", start=0.1, duration=0.5,
        text=syllables if units == "syllables" else text,
        custom={"word": text, "syllables": syllables},
    )  # fmt: skip


def texts(words: list[SupervisionSegment]) -> set[str]:
    return {w.custom["word"] for w in words}


@pytest.mark.parametrize("units", ["syllables", "characters"])
def test_every_word_is_in_one_set_and_the_promises_hold(units: Units) -> None:
    words = [word(text, units) for text in hsk.words(100)]
    sets = split(words, units)
    assert sorted(w.id for ws in sets.values() for w in ws) == sorted(w.id for w in words)
    assert all(sets[name] for name in ("train", "dev", "test-unseen"))
    check_sets(sets, units)


def test_the_split_does_not_depend_on_the_order_or_on_other_words() -> None:
    words = [word(text) for text in hsk.words(100)]
    whole = split(words, "syllables")
    random.Random(0).shuffle(words)
    assert {k: texts(v) for k, v in split(words, "syllables").items()} == {
        k: texts(v) for k, v in whole.items()
    }
    fewer = split(words[:80], "syllables")
    for name in PERCENT:
        assert texts(fewer[name]) <= texts(whole[name])


def test_shares_are_as_said_and_fixed_for_good() -> None:
    counts = Counter(set_of(f"ma{n} ni{m}") for n in range(100) for m in range(100))
    for name, percent in PERCENT.items():
        assert counts[name] == pytest.approx(100 * percent, rel=0.15)
    # A changed hash would move words from training to the test.
    held: dict[str, str] = {}
    for text in hsk.words(100):
        name = set_of(" ".join(syllables_of(text)))
        held[name] = f"{held.get(name, '')} {text}".lstrip()
    assert held["test-unseen"] == "天人 天手 大字 电书 电生 水车 水手"
    assert held["dev"] == "大山 火人 火书 中山 国家"


def test_homophones_are_on_the_same_side() -> None:
    """Also in characters, where they have nothing in common: it is the sound that is known."""
    sequences = [f"{a}1 {b}4" for a in ("ma", "ni", "ta") for b in ("shi", "hao", "li", "de")]
    words = [
        word(f"{chr(0x4E00 + n)}{chr(0x5E00 + m)}", "characters", sequence)
        for n in range(12)
        for m, sequence in enumerate(sequences)
    ]
    sets = split(words, "characters")
    sides: dict[str, set[str]] = {}
    for name, chosen in sets.items():
        for w in chosen:
            sides.setdefault(w.custom["syllables"], set()).add(name)
    assert len(sides) == len(sequences)
    assert all(len(names) == 1 for names in sides.values())


def held_out(name: str) -> SupervisionSegment:
    """A word that is meant for this set."""
    return next(w for w in map(word, hsk.words(100)) if set_of(w.custom["syllables"]) == name)


@pytest.mark.parametrize(("company", "expected"), [(2, "train"), (3, "test-unseen")])
def test_units_of_a_held_out_word_stand_in_three_words_of_training(
    company: int, expected: str
) -> None:
    rare = held_out("test-unseen")
    one, other = rare.custom["syllables"].split()
    known = [word(f"训{n}", syllables=s) for n, s in enumerate(training_sequences(one, other))]
    sets = split([rare, *known[: 2 * company]], "syllables")
    assert texts(sets[expected]) >= texts([rare])
    assert sum(map(len, sets.values())) == 1 + 2 * company


def training_sequences(*syllables: str) -> list[str]:
    """Sequences meant for training, of which each holds one of the syllables, in turn."""
    found = {
        s: [q for q in (f"{s} xu{n}" for n in range(99)) if set_of(q) == "train"] for s in syllables
    }
    return [sequence for pair in zip(*found.values(), strict=False) for sequence in pair]


def test_a_word_that_training_hears_in_a_longer_one_goes_there() -> None:
    word_held = held_out("test-unseen")
    syllables = word_held.custom["syllables"]
    company = [
        word(f"训{n}", syllables=s) for n, s in enumerate(training_sequences(*syllables.split()))
    ]
    longer, apart = training_sequences(syllables)[0], " xu1 ".join(syllables.split())
    assert set_of(apart) == "train"
    words = [word_held, *company[:6], word("隔", syllables=apart)]
    assert texts(split(words, "syllables")["test-unseen"]) == texts([word_held])
    words.append(word("长", syllables=longer))
    assert texts(split(words, "syllables")["train"]) == texts(words)


def test_what_is_heard_inside_longer_words() -> None:
    held = {"a b c", "b c", "c d", "d", "e f"}
    assert heard_inside(held, {"x a b c", "d e"}) == {"a b c", "b c"}
    assert heard_inside(held, {"x a b", "c", "f e f"}) == {"e f"}
    assert heard_inside({"b c"}, set()) == set()


def test_homophones_of_a_word_with_a_rare_character_go_with_it_to_training() -> None:
    first = held_out("dev")
    syllables = first.custom["syllables"]
    common = [word(f"甲乙{n}", "characters", q) for n, q in enumerate(training_sequences("jia3"))]
    words = [word("甲乙", "characters", syllables), word("甲鬱", "characters", syllables)]
    sets = split([*words, *common], "characters")
    assert texts(sets["train"]) >= {"甲乙", "甲鬱"}


def test_a_broken_promise_is_named() -> None:
    train = [*map(word, hsk.words(30)), word("小天大", syllables="xiao3 tian1 da4")]
    good = {"train": train, "dev": [], "test-unseen": []}
    check_sets(good, "syllables")
    again = word("天人")
    homophone = SupervisionSegment(
        id="other", recording_id="other", start=0, duration=1, text=again.text,
        custom={"word": "添人", "syllables": again.text},
    )  # fmt: skip
    for intruder, sentence in (
        (again, "train and dev share 1 recordings, e.g. cmn-天人"),
        (homophone, "train and dev share 1 sequences of syllables, e.g. tian1 ren2"),
        (
            word("人天", syllables="tian1 da4"),
            "dev has 1 sequences of syllables that stand in words",
        ),
        (word("鬱天"), "dev has 1 syllables that stand in fewer than 3 words"),
    ):
        with pytest.raises(ValueError, match=sentence):
            check_sets({**good, "dev": [intruder]}, "syllables")
