"""Stage 2: compose announcements from prompts, as cuts of lhotse.

Six in ten announcements are plain sequences of one to five prompts, drawn from a deck that is
shuffled again only when it has run out, so that each recording is heard about equally often; the
others are sentences of the grammar. Between prompts are pauses of 0.1 to 0.4 s, and each prompt is
made up to 3 dB louder or softer. One announcement is one utterance with one supervision.

Written to DATA_DIR/manifests/asterisk_cuts_raw_SET.jsonl.gz, cuts that load audio:

    train           announcements (`--hours` in all), and each prompt that is not held out alone
    dev             announcements of sentences that are in no other set, `--eval-minutes` a language
    test-announce   the same again
    test-unseen     the held-out prompts, each alone: training heard nothing of them

The recordings in dev and test-announce are those that training hears; only what is said with them
is new. The same seed, languages and hours give the same sets, whatever the machine.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

from asterisk_grammar import Grammar
from asterisk_texts import split_languages
from lhotse import CutSet, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse.cut import Cut, MixedCut, MonoCut
from lhotse.utils import fastcopy

from icefall_sampled.script import run_script

PLAIN_SHARE = 0.6
MAX_PROMPTS = 5
MAX_SECONDS = 12.0
MAX_PLAIN_SECONDS = 10.0
"""Longer prompts leave no room for another, and are heard alone."""
MAX_GAIN_DB = 3.0
PAUSE_SECONDS = (0.1, 0.4)
_ATTEMPTS = 1000
_SENTENCE_WORDS = 3

logger = logging.getLogger(__name__)


class Deck:
    """Cards in random order; when all were drawn they are shuffled again.

    Args:
        seconds: how long each card lasts.
    """

    def __init__(self, seconds: dict[str, float], rng: random.Random) -> None:
        self._seconds = dict(sorted(seconds.items()))
        self._rng = rng
        self._left: list[str] = []

    def draw(self, max_seconds: float) -> str | None:
        """Take the topmost card that is short enough; None where none of those left is."""
        if not self._left:
            self._left = self._rng.sample(list(self._seconds), len(self._seconds))
        for position, card in enumerate(self._left):
            if self._seconds[card] <= max_seconds:
                return self._left.pop(position)
        return None


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """The prompts of one language."""

    language: str
    heard: dict[str, MonoCut]
    """Those training may hear, by prompt id."""
    held_out: dict[str, MonoCut]

    @property
    def texts(self) -> set[str]:
        """What is said in single prompts; an announcement must say something else."""
        return {text_of(c) for c in (*self.heard.values(), *self.held_out.values())}


def text_of(cut: Cut) -> str:
    """The transcript of a cut with one supervision."""
    return str(cut.supervisions[0].text)


def load_prompts(language: str, data_dir: Path) -> Prompts:
    """Read the manifests of stage 1.

    Raises:
        ValueError: where they are not there.
    """
    paths = [
        data_dir / "manifests" / f"asterisk_{kind}_{language}.jsonl.gz"
        for kind in ("recordings", "supervisions")
    ]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} is not there: run stage 1 for {language} first")
    cuts = CutSet.from_manifests(
        recordings=RecordingSet.from_file(paths[0]),
        supervisions=SupervisionSet.from_file(paths[1]),
    )
    heard, held_out = {}, {}
    for cut in cuts.to_eager():
        custom = cut.supervisions[0].custom
        cut = fastcopy(cut, id=cut.recording_id)
        (held_out if custom["held_out"] else heard)[custom["prompt"]] = cut
    return Prompts(language=language, heard=heard, held_out=held_out)


class Composer:
    """Draws announcements of one language that say what was not said before."""

    def __init__(self, prompts: Prompts, *, seed: int) -> None:
        self.prompts = prompts
        self.seed = seed
        self.said = prompts.texts
        self._grammar = Grammar(
            prompts.language,
            published={*prompts.heard, *prompts.held_out},
            heard=set(prompts.heard),
        )

    def compose(self, split: str, *, seconds: float) -> list[MixedCut]:
        """Announcements that last `seconds` together, and of which no other split has the text."""
        rng = random.Random(f"{self.seed}:{self.prompts.language}:{split}")
        seconds_of = {p: cut.duration for p, cut in self.prompts.heard.items()}
        deck = Deck({p: s for p, s in seconds_of.items() if s <= MAX_PLAIN_SECONDS}, rng)
        cuts: list[MixedCut] = []
        texts: set[str] = set()
        total = 0.0
        while total < seconds:
            ids = self._draw_new(deck, rng)
            name = f"{self.prompts.language}-{split}-{len(cuts):05d}"
            cut = join([self.prompts.heard[i] for i in ids], name=name, rng=rng)
            texts.add(text_of(cut))
            cuts.append(cut)
            total += cut.duration
        self.said |= texts
        return cuts

    def _draw_new(self, deck: Deck, rng: random.Random) -> list[str]:
        for _ in range(_ATTEMPTS):
            plain = rng.random() < PLAIN_SHARE
            ids = self._draw_plain(deck, rng) if plain else self._grammar.draw(rng)
            if len(ids) > 1 and self._seconds(ids) <= MAX_SECONDS and self._is_new(ids):
                return ids
        raise ValueError(
            f"{self.prompts.language}: nothing new is left to say with "
            f"{len(self.prompts.heard)} prompts, ask for fewer hours"
        )

    def _draw_plain(self, deck: Deck, rng: random.Random) -> list[str]:
        ids: list[str] = []
        for _ in range(rng.randint(2, MAX_PROMPTS)):
            left = MAX_SECONDS - self._seconds(ids) - PAUSE_SECONDS[1]
            card = deck.draw(left)
            if card is None:
                break
            ids.append(card)
        return ids

    def _is_new(self, ids: list[str]) -> bool:
        """Whether it is said nowhere else, and does not say the same sentence twice."""
        texts = [text_of(self.prompts.heard[i]) for i in ids]
        sentences = [text for text in texts if len(text.split()) >= _SENTENCE_WORDS]
        return len(set(sentences)) == len(sentences) and " ".join(texts) not in self.said

    def _seconds(self, ids: list[str]) -> float:
        return sum(self.prompts.heard[i].duration + PAUSE_SECONDS[1] for i in ids)


def join(parts: list[MonoCut], *, name: str, rng: random.Random) -> MixedCut:
    """One utterance from several: appended, with pauses, each a little louder or softer."""
    text = " ".join(text_of(part) for part in parts)
    first = parts[0].supervisions[0]
    joined: Cut | None = None
    for part in parts:
        gain_db = rng.uniform(-MAX_GAIN_DB, MAX_GAIN_DB)
        # Hundredths of a second are whole samples at 16 kHz: no length is ever rounded.
        pause = round(rng.uniform(*PAUSE_SECONDS), 2)
        cut = part.drop_supervisions().perturb_volume(round(10 ** (gain_db / 20), 4))
        joined = cut if joined is None else append(joined, cut, pause_seconds=pause)
    assert isinstance(joined, MixedCut), "announcements have at least two prompts"
    supervision = SupervisionSegment(
        id=name,
        recording_id=name,
        start=0.0,
        duration=joined.duration,
        text=text,
        language=first.language,
        speaker=first.speaker,
    )
    tracks = [fastcopy(track) for track in joined.tracks]
    tracks[0].cut = fastcopy(tracks[0].cut, supervisions=[supervision])
    for number, track in enumerate(tracks):
        # lhotse gives pauses random ids; without them the same seed gives the same manifest.
        track.cut = fastcopy(track.cut, id=f"{name}-{number}")
    return fastcopy(joined, id=name, tracks=tracks)


def append(first: Cut, second: Cut, *, pause_seconds: float) -> Cut:
    """One after the other, with silence between."""
    return first.pad(duration=first.duration + pause_seconds).append(second)


def compose_language(
    prompts: Prompts, *, train_seconds: float, eval_seconds: float, seed: int
) -> dict[str, list[Cut]]:
    """The four sets of one language."""
    composer = Composer(prompts, seed=seed)
    train = composer.compose("train", seconds=train_seconds)
    dev = composer.compose("dev", seconds=eval_seconds)
    test = composer.compose("test", seconds=eval_seconds)
    return {
        "train": [*prompts.heard.values(), *train],
        "dev": [*dev],
        "test-announce": [*test],
        "test-unseen": [*prompts.held_out.values()],
    }


def main(
    *,
    langs: str = "en",
    data_dir: Path = Path("data"),
    hours: float = 3.0,
    eval_minutes: float = 12.0,
    seed: int = 42,
) -> None:
    """Compose the announcements and write the four sets.

    Args:
        langs: any of en es fr it ru, separated by spaces, or all.
        data_dir: where stage 1 wrote its manifests.
        hours: announcements to train on, shared equally by the languages.
        eval_minutes: announcements in dev and in test-announce, for each language.
        seed: another seed, other announcements.
    """
    for name, value in (("--hours", hours), ("--eval-minutes", eval_minutes)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value}, it must be greater than 0")
    languages = split_languages(langs)
    sets: dict[str, list[Cut]] = {}
    for language in languages:
        composed = compose_language(
            load_prompts(language, data_dir),
            train_seconds=hours * 3600 / len(languages),
            eval_seconds=eval_minutes * 60,
            seed=seed,
        )
        for name, cuts in composed.items():
            sets.setdefault(name, []).extend(cuts)
    for name, cuts in sets.items():
        path = data_dir / "manifests" / f"asterisk_cuts_raw_{name}.jsonl.gz"
        temporary = path.with_name(f"tmp_{path.name}")
        CutSet.from_cuts(cuts).to_file(temporary)
        temporary.replace(path)
        minutes = sum(cut.duration for cut in cuts) / 60
        logger.info("%s: %d utterances, %.1f minutes", name, len(cuts), minutes)


if __name__ == "__main__":
    run_script(main)
