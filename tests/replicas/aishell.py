"""A miniature of AISHELL-1: three sets, Mandarin with spaces between words, WAV.

aishell/data_aishell/.completed                   lhotse's download has nothing left to do
aishell/data_aishell/wav/{train,dev,test}/S0002/BAC009S0002W0122.wav
aishell/data_aishell/transcript/aishell_transcript_v0.8.txt
aishell/resource_aishell/.completed               not read by lhotse
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.replicas.folders import new_folder
from tests.replicas.mandarin import sentences, spoken
from tests.replicas.speech import SAMPLING_RATE, Sentence, recordings, speaker_voice

TRANSCRIPT = Path("data_aishell/transcript/aishell_transcript_v0.8.txt")
# Numbers of the first speaker of each set, as in the corpus.
FIRST_SPEAKERS = {"train": 2, "dev": 724, "test": 764}
UTTERANCES_PER_SPEAKER = 12
_FIRST_UTTERANCE = 122


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A line of the transcript."""

    part: str
    speaker: int
    index: int
    voice: int
    words: list[str]

    @property
    def utterance_id(self) -> str:
        """`BAC009S0002W0122`."""
        return f"BAC009S{self.speaker:04d}W{_FIRST_UTTERANCE + self.index:04d}"

    @property
    def audio(self) -> Path:
        """Path within the corpus."""
        speaker = f"S{self.speaker:04d}"
        return Path("data_aishell/wav") / self.part / speaker / f"{self.utterance_id}.wav"


def make(folder: Path, *, num_utterances: int = 60, seed: int = 0, speech: bool = True) -> Path:
    """Write the corpus into a folder, and return its path, `<folder>/aishell`.

    Args:
        folder: Made if it does not exist.
        num_utterances: A tenth each in dev and test, but at least two; the rest in train.
        seed: Chooses the sentences.
        speech: False writes room noise instead, for thousands of utterances.
    """
    plan = plan_utterances(num_utterances, seed=seed)
    corpus = new_folder(folder / "aishell")
    said = [
        Sentence(text=spoken(utterance.words), voice=speaker_voice("cmn", utterance.voice))
        for utterance in plan
    ]
    audio = recordings(said, np.random.default_rng(seed), speech=speech)
    for utterance, samples in zip(plan, audio, strict=True):
        path = corpus / utterance.audio
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, SAMPLING_RATE)
    transcript = corpus / TRANSCRIPT
    transcript.parent.mkdir()
    lines = sorted(f"{utterance.utterance_id} {' '.join(utterance.words)}\n" for utterance in plan)
    transcript.write_text("".join(lines), encoding="utf-8")
    for part in ("data_aishell", "resource_aishell"):
        (corpus / part).mkdir(exist_ok=True)
        (corpus / part / ".completed").touch()
    return corpus


def part_sizes(num_utterances: int) -> dict[str, int]:
    """How many utterances each set gets."""
    small = max(2, num_utterances // 10)
    if num_utterances < 3 * small:
        raise ValueError(f"num_utterances must be at least 6, and is {num_utterances}.")
    return {"train": num_utterances - 2 * small, "dev": small, "test": small}


def plan_utterances(num_utterances: int, *, seed: int) -> list[Utterance]:
    """The texts and speakers; no speaker is in two sets."""
    texts = iter(sentences(num_utterances, seed=seed))
    plan, voice = [], -1
    for part, size in part_sizes(num_utterances).items():
        for i in range(size):
            speaker, index = divmod(i, UTTERANCES_PER_SPEAKER)
            voice += index == 0
            plan.append(
                Utterance(
                    part=part,
                    speaker=FIRST_SPEAKERS[part] + speaker,
                    index=index,
                    voice=voice,
                    words=next(texts),
                )
            )
    return plan
