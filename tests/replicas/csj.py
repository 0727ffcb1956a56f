"""A miniature of CSJ: Shift-JIS transcripts, one word a line, and one WAV a session.

    CSJ/MORPH/SDB/{core,noncore}/<session>.sdb
    CSJ/WAV/{core,noncore}/<session>.wav              dialogues (D*): <session>-L.wav and -R.wav

It has all 75 sessions that lhotse moves into eval1, eval2, eval3, valid and excluded, with one
sentence each (in a dialogue, one for each speaker), and at least eight others, five of eight of
them academic talks (A*).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from lhotse.recipes import csj as lhotse_csj

from tests.replicas.folders import new_folder
from tests.replicas.japanese import Segment, Word, sentences, written
from tests.replicas.speech import (
    SAMPLING_RATE,
    Sentence,
    recordings,
    room_noise,
    speaker_voice,
)

LISTED_SESSIONS = {
    **{f"eval{i}": tuple(names) for i, names in enumerate(lhotse_csj._EVAL, start=1)},
    "valid": tuple(lhotse_csj._VALID),
    "excluded": tuple(lhotse_csj._A01M0056),
}
SENTENCES_PER_SESSION = 25
_KINDS = "AASAADAR"
_SAMPLES_PER_MS = SAMPLING_RATE // 1000
_PAUSES_MS = (400, 1200, 250)  # longer and shorter than the pauses that recipes join


@dataclass(frozen=True, kw_only=True)
class Session:
    """A talk, or a dialogue."""

    name: str
    volume: str
    """core or noncore."""
    part: str
    """The set in which lhotse's recipe puts it: its volume, or the name of another set."""
    voice: int
    sentences: list[list[Segment]]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels: dialogues have a file for each speaker."""
        return ("L", "R") if self.name.startswith("D") else ("L",)

    def channel(self, index: int) -> str:
        """The channel of the n-th sentence: speakers take turns."""
        return self.channels[index % len(self.channels)]

    def recording_id(self, channel: str) -> str:
        """The name of a channel's audio."""
        return f"{self.name}-{channel}" if len(self.channels) > 1 else self.name


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A sentence as lhotse reads it."""

    part: str
    recording_id: str
    utterance_id: str
    text: str


def make(folder: Path, *, num_utterances: int = 60, seed: int = 0, speech: bool = True) -> Path:
    """Write the corpus into a folder, and return its path, `<folder>/CSJ`.

    Args:
        folder: Made if it does not exist.
        num_utterances: In addition to the 75 listed sessions, in core and noncore together.
        seed: Chooses the sentences.
        speech: False writes room noise instead, for thousands of utterances.
    """
    plan = plan_sessions(num_utterances, seed=seed)
    corpus = new_folder(folder / "CSJ")
    random = np.random.default_rng(seed)
    audio = recordings(list(_all_spoken(plan)), random, speech=speech)
    for session in plan:
        transcript = sdb_path(corpus, session)
        transcript.parent.mkdir(parents=True, exist_ok=True)
        lines = list(_write_audio(corpus, session, audio, random))
        transcript.write_text("\n".join(lines) + "\n", encoding="shift_jis")
    return corpus


def plan_sessions(num_utterances: int, *, seed: int) -> list[Session]:
    """The sessions: first those that lhotse's recipe lists, then those to train on."""
    if num_utterances < 2 * len(_KINDS):
        raise ValueError(
            f"num_utterances must be at least {2 * len(_KINDS)}, and is {num_utterances}."
        )
    names = [(name, part) for part, names in LISTED_SESSIONS.items() for name in names]
    sizes = [2 if name.startswith("D") else 1 for name, _ in names]
    num_others = max(len(_KINDS), -(-num_utterances // SENTENCES_PER_SESSION))
    names += [(_session_name(i), "") for i in range(num_others)]
    sizes += [len(range(i, num_utterances, num_others)) for i in range(num_others)]
    texts = iter(sentences(sum(sizes), seed=seed))
    return [
        _plan_session(i, name, part, [next(texts) for _ in range(size)])
        for i, ((name, part), size) in enumerate(zip(names, sizes, strict=True))
    ]


def expected(plan: list[Session]) -> list[Utterance]:
    """The utterances that lhotse's recipe must find in the corpus."""
    found = []
    for session in plan:
        number = 1
        for index, sentence in enumerate(session.sentences):
            recording_id = session.recording_id(session.channel(index))
            found.append(
                Utterance(
                    part=session.part,
                    recording_id=recording_id,
                    utterance_id=f"{recording_id}_{number:04d}",
                    text=written(sentence),
                )
            )
            number += len(sentence)
    return found


def sdb_path(corpus: Path, session: Session) -> Path:
    """The transcript of a session."""
    return corpus / "MORPH" / "SDB" / session.volume / f"{session.name}.sdb"


def wav_path(corpus: Path, session: Session, channel: str = "L") -> Path:
    """The audio of a session, or of one speaker of a dialogue."""
    return corpus / "WAV" / session.volume / f"{session.recording_id(channel)}.wav"


def _session_name(index: int) -> str:
    """Name of a training session: numbers beyond those of the corpus."""
    return f"{_KINDS[index % len(_KINDS)]}{index % 9 + 1:02d}{'FM'[index % 2]}{1500 + index:04d}"


def _plan_session(index: int, name: str, part: str, sentences: list[list[Segment]]) -> Session:
    volume = "core" if part in ("eval1", "excluded") or index % 4 == 0 else "noncore"
    return Session(
        name=name,
        volume=volume,
        part=part or volume,
        voice=2 * index + "FM".index(name[3]),
        sentences=sentences,
    )


def _all_spoken(plan: list[Session]) -> Iterator[Sentence]:
    for session in plan:
        for index, sentence in enumerate(session.sentences):
            # The other speaker of a dialogue has the same sex, as in the corpus's names.
            speaker = session.voice + 2 * session.channels.index(session.channel(index))
            for segment in sentence:
                kana = " ".join(word.spoken for word in segment if word.spoken)
                yield Sentence(text=kana, voice=speaker_voice("ja", speaker))


def _write_audio(
    corpus: Path, session: Session, audio: Iterator[np.ndarray], random: np.random.Generator
) -> Iterator[str]:
    """Write the session's audio, and yield the lines of its transcript meanwhile."""
    pieces: dict[str, list[np.ndarray]] = {channel: [] for channel in session.channels}
    start, number = 0, 0
    for index, sentence in enumerate(session.sentences):
        for segment in sentence:
            samples = next(audio)
            pause, length = _PAUSES_MS[number % 3], -(-len(samples) // _SAMPLES_PER_MS)
            begin = start + pause
            start, number = begin + length, number + 1
            for channel, parts in pieces.items():
                part = room_noise((pause + length) * _SAMPLES_PER_MS, random)
                if channel == session.channel(index):
                    part[pause * _SAMPLES_PER_MS :][: len(samples)] = samples
                parts.append(part)
            span = f"{begin / 1000:09.3f}-{(begin + length) / 1000:09.3f}"
            time = f"{number:04d} {span} {session.channel(index)}:"
            yield from (
                _line(session, f"{time}-{i:03d}-{i:03d}", segment[i - 1])
                for i in range(1, len(segment) + 1)
            )
    for channel, parts in pieces.items():
        parts.append(room_noise(_PAUSES_MS[0] * _SAMPLES_PER_MS, random))
        path = wav_path(corpus, session, channel)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.concatenate(parts), SAMPLING_RATE)


def _line(session: Session, time: str, word: Word) -> str:
    columns = ["1", "S", session.name, time, word.surface, word.surface, word.pronunciation]
    columns += [word.plain, word.spoken, word.plain, word.pronunciation, word.part_of_speech]
    return "\t".join([*columns, *[""] * 4, "0"])
