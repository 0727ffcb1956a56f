"""Compose utterances from recordings, as lhotse cuts: shared by the corpora that do so.

Between the recordings are pauses of 0.1 to 0.4 s, and each recording is made up to 3 dB louder or
softer. Each corpus has its own `Composer`, which draws the recordings of an utterance. The same
seed and recordings give the same utterances on every machine.
"""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from pathlib import Path

from lhotse import CutSet, SupervisionSegment
from lhotse.cut import Cut, MixedCut, MonoCut, PaddingCut
from lhotse.utils import fastcopy

from icefall_sampled.data import text_of
from icefall_sampled.errors import UserError
from icefall_sampled.files import replacing

MAX_SECONDS = 12.0
MAX_DRAWN_SECONDS = 10.0
"""Longer recordings leave no room for another."""
MAX_GAIN_DB = 3.0
PAUSE_SECONDS = (0.1, 0.4)
_ATTEMPTS = 1000

logger = logging.getLogger(__name__)


class Deck:
    """Cards in random order; they are reshuffled once all have been drawn.

    Args:
        seconds: length of each card.
        rng: shuffles them.
    """

    def __init__(self, seconds: dict[str, float], rng: random.Random) -> None:
        self._seconds = dict(sorted(seconds.items()))
        self._rng = rng
        self._left: list[str] = []

    def draw(self, max_seconds: float) -> str | None:
        """Take the topmost card that is short enough; None if none of the rest is."""
        if not self._left:
            self._left = self._rng.sample(list(self._seconds), len(self._seconds))
        for position, card in enumerate(self._left):
            if self._seconds[card] <= max_seconds:
                return self._left.pop(position)
        return None


class Composer(ABC):
    """Draws utterances whose texts are new.

    Args:
        parts: the recordings to join, each as a cut with one supervision.
        said: texts that no utterance may have; the texts of each composed set are added.
        name: prefix of the ids of the utterances.
        seed: of the random choices.
    """

    def __init__(self, parts: dict[str, MonoCut], *, said: set[str], name: str, seed: int) -> None:
        self.parts = parts
        self.said = said
        self.name = name
        self.seed = seed

    @abstractmethod
    def draw(self, deck: Deck, rng: random.Random) -> list[str]:
        """Draw the recordings of an utterance; they may be too long, or their text not new."""

    def compose(self, split: str, *, seconds: float) -> list[MixedCut]:
        """Compose utterances of `seconds` in total, with texts that are in no other split.

        Raises:
            UserError: if there are not enough new utterances.
        """
        rng = random.Random(f"{self.seed}:{self.name}:{split}")
        seconds_of = {part: cut.duration for part, cut in self.parts.items()}
        deck = Deck({p: s for p, s in seconds_of.items() if s <= MAX_DRAWN_SECONDS}, rng)
        cuts: list[MixedCut] = []
        texts: set[str] = set()
        total = 0.0
        while total < seconds:
            parts = [self.parts[name] for name in self._draw_new(deck, rng)]
            cut = join(parts, name=f"{self.name}-{split}-{len(cuts):05d}", rng=rng)
            texts.add(text_of(cut))
            cuts.append(cut)
            total += cut.duration
        self.said |= texts
        return cuts

    def _draw_new(self, deck: Deck, rng: random.Random) -> list[str]:
        for _ in range(_ATTEMPTS):
            names = self.draw(deck, rng)
            if len(names) > 1 and self._seconds(names) <= MAX_SECONDS and self.is_new(names):
                return names
        raise UserError(
            f"{self.name}: nothing new is left to say with {len(self.parts)} recordings, "
            "ask for fewer hours"
        )

    def draw_any(self, deck: Deck, rng: random.Random, *, max_parts: int) -> list[str]:
        """Draw two to `max_parts` recordings from the deck, fewer if there is no room."""
        names: list[str] = []
        for _ in range(rng.randint(2, max_parts)):
            card = deck.draw(MAX_SECONDS - self._seconds(names) - PAUSE_SECONDS[1])
            if card is None:
                break
            names.append(card)
        return names

    def is_new(self, names: list[str]) -> bool:
        """Whether the joint text of these recordings is new."""
        return " ".join(text_of(self.parts[name]) for name in names) not in self.said

    def _seconds(self, names: list[str]) -> float:
        return sum(self.parts[name].duration + PAUSE_SECONDS[1] for name in names)


def recordings_of(cut: Cut) -> set[str]:
    """The audio files in a cut."""
    tracks = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
    return {
        source.source
        for track in tracks
        if not isinstance(track, PaddingCut)
        for source in track.recording.sources
    }


def join(parts: list[MonoCut], *, name: str, rng: random.Random) -> MixedCut:
    """Join recordings to one utterance, with pauses, each a little louder or softer."""
    text = " ".join(text_of(part) for part in parts)
    first = parts[0].supervisions[0]
    joined: Cut | None = None
    for part in parts:
        gain_db = rng.uniform(-MAX_GAIN_DB, MAX_GAIN_DB)
        # Hundredths of a second are whole samples at 16 kHz: no length is rounded.
        pause = round(rng.uniform(*PAUSE_SECONDS), 2)
        cut = part.drop_supervisions().perturb_volume(round(10 ** (gain_db / 20), 4))
        joined = cut if joined is None else append(joined, cut, pause_seconds=pause)
    assert isinstance(joined, MixedCut), "an utterance has at least two parts"
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
    """The two cuts with silence between them."""
    return first.pad(duration=first.duration + pause_seconds).append(second)


def write_sets(sets: dict[str, list[Cut]], manifest_dir: Path, *, corpus: str) -> None:
    """Write MANIFEST_DIR/CORPUS_cuts_raw_SET.jsonl.gz for each set."""
    for name, cuts in sets.items():
        path = manifest_dir / f"{corpus}_cuts_raw_{name}.jsonl.gz"
        with replacing(path) as temporary:
            CutSet.from_cuts(cuts).to_file(temporary)
        minutes = sum(cut.duration for cut in cuts) / 60
        logger.info("%s: %d utterances, %.1f minutes", name, len(cuts), minutes)
