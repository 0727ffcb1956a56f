"""A miniature of LibriSpeech: seven parts, English in capitals, FLAC.

LibriSpeech/<part>/.completed                            lhotse's download skips the part
LibriSpeech/<part>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt
LibriSpeech/<part>/<speaker>/<chapter>/<speaker>-<chapter>-0000.flac
LibriSpeech/SPEAKERS.TXT
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.replicas.english import sentences
from tests.replicas.folders import new_folder
from tests.replicas.speech import SAMPLING_RATE, Sentence, recordings, speaker_voice

SMALL_PARTS = ("dev-clean", "dev-other", "test-clean", "test-other")
TRAINING_PARTS = ("train-clean-100", "train-clean-360", "train-other-500")
PARTS = (*TRAINING_PARTS, *SMALL_PARTS)
UTTERANCES_PER_CHAPTER = 8
CHAPTERS_PER_SPEAKER = 2


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A line of a transcript."""

    part: str
    speaker: int
    """Index over the corpus; the folder's name is another number."""
    chapter: int
    index: int
    text: str

    @property
    def folder(self) -> Path:
        """Folder of its chapter, within the corpus."""
        return Path(self.part) / str(_speaker_id(self.speaker)) / str(_chapter_id(self.chapter))

    @property
    def utterance_id(self) -> str:
        """`<speaker>-<chapter>-0000`."""
        return f"{_speaker_id(self.speaker)}-{_chapter_id(self.chapter)}-{self.index:04d}"


def make(folder: Path, *, num_utterances: int = 60, seed: int = 0, speech: bool = True) -> Path:
    """Write the corpus into a folder, and return its path, `<folder>/LibriSpeech`.

    Args:
        folder: Made if it does not exist.
        num_utterances: Over all parts: a twentieth, but at least two, in each of the four small
            parts; half of the rest in train-clean-100 and a quarter in each of the other two.
        seed: Chooses the sentences.
        speech: False writes room noise instead, for thousands of utterances.
    """
    plan = plan_utterances(num_utterances, seed=seed)
    corpus = new_folder(folder / "LibriSpeech")
    spoken = [
        # espeak-ng would spell out short words in capitals.
        Sentence(text=utterance.text.lower(), voice=speaker_voice("en-us", utterance.speaker))
        for utterance in plan
    ]
    audio = recordings(spoken, np.random.default_rng(seed), speech=speech)
    for utterance, samples in zip(plan, audio, strict=True):
        chapter = corpus / utterance.folder
        chapter.mkdir(parents=True, exist_ok=True)
        transcript = f"{'-'.join(utterance.utterance_id.split('-')[:2])}.trans.txt"
        with (chapter / transcript).open("a") as file:
            file.write(f"{utterance.utterance_id} {utterance.text}\n")
        soundfile.write(chapter / f"{utterance.utterance_id}.flac", samples, SAMPLING_RATE)
    for part in PARTS:
        (corpus / part / ".completed").touch()
    _write_speakers(corpus / "SPEAKERS.TXT", plan)
    return corpus


def part_sizes(num_utterances: int) -> dict[str, int]:
    """How many utterances each part gets."""
    small = max(2, num_utterances // 20)
    train = num_utterances - small * len(SMALL_PARTS)
    if train < 4:
        raise ValueError(f"num_utterances must be at least 12, and is {num_utterances}.")
    quarter = train // 4
    sizes = (train - 2 * quarter, quarter, quarter, *[small] * len(SMALL_PARTS))
    return dict(zip(PARTS, sizes, strict=True))


def plan_utterances(num_utterances: int, *, seed: int) -> list[Utterance]:
    """The texts, parts and speakers; no speaker is in two parts."""
    texts = iter(sentences(num_utterances, seed=seed))
    plan, speaker, chapter = [], -1, -1
    for part, size in part_sizes(num_utterances).items():
        for i in range(size):
            index = i % UTTERANCES_PER_CHAPTER
            if index == 0:
                chapter += 1
            if i % (UTTERANCES_PER_CHAPTER * CHAPTERS_PER_SPEAKER) == 0:
                speaker += 1
            plan.append(
                Utterance(
                    part=part, speaker=speaker, chapter=chapter, index=index, text=next(texts)
                )
            )
    return plan


def _speaker_id(speaker: int) -> int:
    return 19 + 7 * speaker


def _chapter_id(chapter: int) -> int:
    return 198 + 41 * chapter


def _write_speakers(path: Path, plan: list[Utterance]) -> None:
    parts = {utterance.speaker: utterance.part for utterance in plan}
    rows = [
        f"{_speaker_id(speaker):<5}| {'FM'[speaker % 2]} | {part:<17}| 0.50  | Voice {speaker}\n"
        for speaker, part in sorted(parts.items())
    ]
    path.write_text(";ID  |SEX| SUBSET           |MINUTES| NAME\n" + "".join(rows))
