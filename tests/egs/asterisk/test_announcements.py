"""Numbers, the grammar, and the promises of the four sets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from asterisk_announcements import Announcer, Prompts, compose_language
from asterisk_check_sets import check_sets
from asterisk_download import read_checksums
from asterisk_grammar import Grammar, load_rules, number_prompts
from asterisk_texts import LANGUAGES
from lhotse.cut import Cut

from local.composing import MAX_SECONDS, recordings_of, text_of

CHECKSUMS = Path(__file__).resolve().parents[3] / "egs/asterisk/ASR/local/checksums"
MakePrompts = Callable[[str], Prompts]


def published(language: str) -> set[str]:
    names = read_checksums(CHECKSUMS / f"{language}.sha256")
    return {name.removesuffix(".g722") for name in names if name.endswith(".g722")}


@pytest.mark.parametrize(
    ("language", "number", "spoken"),
    [
        ("en", 0, "0"),
        ("en", 42, "40 2"),
        ("en", 305, "3 hundred 5"),
        ("en", 1999, "1 thousand 9 hundred 90 9"),
        ("es", 29, "29"),
        ("es", 100, "hundred"),
        ("es", 142, "100-and 40 and 2"),
        ("es", 1500, "thousand 500"),
        ("fr", 71, "60 et 11"),
        ("fr", 80, "80"),
        ("fr", 81, "80 1"),
        ("fr", 97, "80 17"),
        ("fr", 21, "20 et 1"),
        ("fr", 242, "2 hundred 40 2"),
        ("it", 28, "28"),
        ("it", 47, "40 7"),
        ("it", 147, ""),
        ("ru", 147, "hundred 40 7"),
        ("ru", 247, ""),
    ],
)
def test_numbers(language: str, number: int, spoken: str) -> None:
    prompts = number_prompts(number, language, published(language))
    assert prompts == [f"digits/{part}" for part in spoken.split()]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rule_can_be_said_from_published_prompts(language: str) -> None:
    everything = published(language)
    grammar = Grammar(language, published=everything, heard=everything)
    possible = grammar.rule_names()
    missing = set(load_rules(language)) - possible
    # Spanish never had the service announcements recorded.
    assert missing <= ({"service", "state", "change"} if language == "es" else set())
    rng = random.Random(0)
    for _ in range(500):
        assert set(grammar.draw(rng)) <= everything


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_prompts_are_never_said(language: str, make_prompts: MakePrompts) -> None:
    prompts = make_prompts(language)
    heard = set(prompts.heard)
    grammar = Grammar(language, published={*heard, *prompts.held_out}, heard=heard)
    rng = random.Random(0)
    drawn = Counter(prompt for _ in range(2000) for prompt in grammar.draw(rng))
    assert set(drawn) <= heard


def compose(prompts: Prompts, seed: int = 1) -> dict[str, list[Cut]]:
    return compose_language(prompts, train_seconds=3600, eval_seconds=300, seed=seed)


def test_same_seed_same_sets(make_prompts: MakePrompts) -> None:
    def dump(sets: dict[str, list[Cut]]) -> list[dict]:
        return [cut.to_dict() for cuts in sets.values() for cut in cuts]

    prompts = make_prompts("en")
    first = dump(compose(prompts))
    assert dump(compose(prompts)) == first
    assert dump(compose(prompts, seed=2)) != first


@pytest.mark.parametrize("language", ["en", "ru"])
def test_sets_keep_their_promises(language: str, make_prompts: MakePrompts) -> None:
    sets = compose(make_prompts(language))
    check_sets(sets)
    for cut in sets["train"] + sets["dev"]:
        assert len(cut.supervisions) == 1
        assert cut.supervisions[0].language == language
    composed = [cut for cut in sets["train"] if "-train-" in cut.id]
    assert sum(cut.duration for cut in composed) >= 3600
    assert all(cut.duration <= MAX_SECONDS for cut in composed)


def test_training_hears_every_recording_often(make_prompts: MakePrompts) -> None:
    prompts = make_prompts("en")
    composed = Announcer(prompts, seed=1).compose("train", seconds=3 * 3600)
    uses = Counter(path for cut in composed for path in recordings_of(cut))
    assert len(uses) == len(prompts.heard)
    assert min(uses.values()) >= 3


def test_broken_promises_are_found(make_prompts: MakePrompts) -> None:
    sets = compose(make_prompts("en"))
    with pytest.raises(ValueError, match="train and dev share"):
        check_sets({**sets, "dev": [*sets["dev"], sets["train"][-1]]})
    with pytest.raises(ValueError, match="held out"):
        leak = sets["test-unseen"][0].drop_supervisions()
        check_sets({**sets, "train": [*sets["train"], leak]})
    with pytest.raises(ValueError, match="never hears"):
        used = {path for cut in sets["test-announce"] for path in recordings_of(cut)}
        poor = [cut for cut in sets["train"] if not recordings_of(cut) & set(sorted(used)[:1])]
        check_sets({**sets, "train": poor})


def test_text_and_timing_of_an_announcement(make_prompts: MakePrompts) -> None:
    prompts = make_prompts("en")
    by_source = {next(iter(recordings_of(cut))): cut for cut in prompts.heard.values()}
    for cut in Announcer(prompts, seed=3).compose("train", seconds=200):
        spoken = [track for track in cut.tracks if hasattr(track.cut, "recording")]
        parts = [by_source[track.cut.recording.sources[0].source] for track in spoken]
        assert text_of(cut) == " ".join(text_of(part) for part in parts)
        ends = [track.offset + track.cut.duration for track in spoken]
        gaps = [after.offset - end for after, end in zip(spoken[1:], ends, strict=False)]
        assert all(0.0999 <= gap <= 0.4001 for gap in gaps)
        assert len(spoken) <= 14


def test_too_little_to_say_is_an_error(make_prompts: MakePrompts) -> None:
    prompts = make_prompts("en")
    few = {p: prompts.heard[p] for p in sorted(prompts.heard)[:1]}
    with pytest.raises(ValueError, match="nothing new is left"):
        announcer = Announcer(Prompts(language="en", heard=few, held_out={}), seed=1)
        announcer.compose("train", seconds=600)
        announcer.compose("dev", seconds=600)
