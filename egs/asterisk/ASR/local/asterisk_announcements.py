"""Stage 2: compose announcements from prompts, as cuts of lhotse.

Six in ten announcements are plain sequences of one to five prompts. These are drawn from a deck
that is reshuffled only when it is empty, so that each recording occurs about equally often. The
others are sentences of the grammar. local/composing.py of the repository joins the prompts. One
announcement is one utterance with one supervision.

It writes cuts that load audio to DATA_DIR/manifests/asterisk_cuts_raw_SET.jsonl.gz:

    train           announcements (`--hours` in all), and each prompt that is not held out, alone
    dev             announcements of sentences that are in no other set, `--eval-minutes` a language
    test-announce   like dev, with other sentences
    test-unseen     the held-out prompts, each alone: they do not occur in training

The recordings in dev and test-announce also occur in training; only their combinations are new. The
same seed, languages and hours give the same sets on every machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from asterisk_grammar import Grammar
from asterisk_texts import split_languages
from lhotse import CutSet, RecordingSet, SupervisionSet
from lhotse.cut import Cut, MonoCut
from lhotse.utils import fastcopy

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data.cuts import read_manifest, text_of
from local.composing import Composer, Deck, write_sets

PLAIN_SHARE = 0.6
MAX_PROMPTS = 5
_SENTENCE_WORDS = 3


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """The prompts of one language."""

    language: str
    heard: dict[str, MonoCut]
    """The prompts that may occur in training, by prompt id."""
    held_out: dict[str, MonoCut]

    @property
    def texts(self) -> set[str]:
        """The texts of the single prompts; an announcement must have another text."""
        return {text_of(c) for c in (*self.heard.values(), *self.held_out.values())}


def load_prompts(language: str, data_dir: Path) -> Prompts:
    """Read the manifests of stage 1.

    Raises:
        UserError: if they do not exist.
    """
    paths = [
        data_dir / "manifests" / f"asterisk_{kind}_{language}.jsonl.gz"
        for kind in ("recordings", "supervisions")
    ]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is not there: run stage 1 for {language} first")
    cuts = CutSet.from_manifests(
        recordings=read_manifest(RecordingSet, paths[0], argument="recordings"),
        supervisions=read_manifest(SupervisionSet, paths[1], argument="supervisions"),
    )
    heard, held_out = {}, {}
    for cut in cuts.to_eager():
        custom = cut.supervisions[0].custom
        cut = fastcopy(cut, id=cut.recording_id)
        (held_out if custom["held_out"] else heard)[custom["prompt"]] = cut
    return Prompts(language=language, heard=heard, held_out=held_out)


class Announcer(Composer):
    """Draws announcements of one language."""

    def __init__(self, prompts: Prompts, *, seed: int) -> None:
        super().__init__(prompts.heard, said=prompts.texts, name=prompts.language, seed=seed)
        self._grammar = Grammar(
            prompts.language,
            published={*prompts.heard, *prompts.held_out},
            heard=set(prompts.heard),
        )

    def draw(self, deck: Deck, rng: random.Random) -> list[str]:
        """Draw a sequence of any prompts, or a sentence of the grammar."""
        if rng.random() < PLAIN_SHARE:
            return self.draw_any(deck, rng, max_parts=MAX_PROMPTS)
        return self._grammar.draw(rng)

    def is_new(self, names: list[str]) -> bool:
        """Whether the text is new, and does not repeat one sentence."""
        texts = [text_of(self.parts[name]) for name in names]
        sentences = [text for text in texts if len(text.split()) >= _SENTENCE_WORDS]
        return len(set(sentences)) == len(sentences) and super().is_new(names)


def compose_language(
    prompts: Prompts, *, train_seconds: float, eval_seconds: float, seed: int
) -> dict[str, list[Cut]]:
    """The four sets of one language."""
    announcer = Announcer(prompts, seed=seed)
    train = announcer.compose("train", seconds=train_seconds)
    dev = announcer.compose("dev", seconds=eval_seconds)
    test = announcer.compose("test", seconds=eval_seconds)
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
        data_dir: folder with the manifests of stage 1.
        hours: announcements to train on, divided equally among the languages.
        eval_minutes: announcements in dev and in test-announce, for each language.
        seed: of the random choices.
    """
    for name, value in (("--hours", hours), ("--eval-minutes", eval_minutes)):
        if not 0 < value < float("inf"):
            raise UserError(f"{name} is {value}, it must be greater than 0")
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
    write_sets(sets, data_dir / "manifests", corpus="asterisk")


if __name__ == "__main__":
    run_script(main)
