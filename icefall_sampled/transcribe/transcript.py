"""The transcript of a file, joined from its segments."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.tokens import TokenTable
from icefall_sampled.transcribe.segments import Segment
from icefall_sampled.transcribe.sources import Source
from icefall_sampled.transcribe.words import Word, confidence_of, joined, text_of, words_of


@dataclass
class Part:
    """The words of a segment, except those taken from an overlapping neighbour."""

    start: float
    """Seconds from the beginning of the file; if segments overlap, the middle of the overlap."""
    end: float
    words: list[Word]
    nbest: list[tuple[str, Hypothesis]]
    """Hypotheses of the whole segment with their texts, best first."""

    def row(self, name: str) -> dict[str, Any]:
        """A JSON object; it has an n-best list if there is more than one hypothesis."""
        confidence = confidence_of(self.words)
        best = self.nbest[0][1]
        if confidence is None and not best.tokens:
            confidence = best.confidence
        row: dict[str, Any] = {
            "file": name,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "text": text_of(self.words),
            "confidence": None if confidence is None else round(confidence, 4),
            "words": [_word_row(word) for word in self.words],
        }
        if len(self.nbest) > 1:
            row["nbest"] = [
                {
                    "text": text,
                    "log_prob": round(hypothesis.log_prob, 4),
                    "confidence": round(hypothesis.confidence, 4),
                }
                for text, hypothesis in self.nbest
            ]
        return row


def _word_row(word: Word) -> dict[str, Any]:
    confidence = confidence_of([word])
    assert confidence is not None
    return {
        "word": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "confidence": round(confidence, 4),
        "tokens": [
            {
                "token": token.text,
                "time": round(token.time, 3),
                "confidence": round(math.exp(token.log_prob), 4),
            }
            for token in word.tokens
        ],
    }


@dataclass
class Transcript:
    """The transcript of a file, in progress or complete."""

    source: Source
    parts: list[Part] = field(default_factory=list)
    waiting: int = 0
    """Segments that are not decoded yet."""
    is_read: bool = False
    """Whether all segments have been read."""
    declared_seconds: float | None = None
    """The length that the file declares."""
    problem: str | None = None
    """Why the file, or the rest of it, could not be read."""

    @property
    def is_whole(self) -> bool:
        """Whether everything that could be read is decoded."""
        return self.is_read and not self.waiting

    @property
    def words(self) -> list[Word]:
        """The words of all parts."""
        return [word for part in self.parts for word in part.words]

    @property
    def text(self) -> str:
        """The whole text in one line."""
        return text_of(self.words)

    @property
    def seconds(self) -> float:
        """Length of the transcribed audio."""
        return self.parts[-1].end if self.parts else 0.0

    def add(
        self,
        segment: Segment,
        nbest: list[Hypothesis],
        tokens: TokenTable,
        *,
        frame_seconds: float,
    ) -> None:
        """Append the next segment; words in an overlap are taken from one of the two segments."""
        words = words_of(nbest[0], tokens, start=segment.start, frame_seconds=frame_seconds)
        part = Part(
            start=segment.start,
            end=segment.end,
            words=words,
            nbest=[(tokens.decode(hypothesis.tokens), hypothesis) for hypothesis in nbest],
        )
        if segment.shared_seconds:
            before = self.parts[-1]
            before.words, part.words = joined(
                before.words, words, begin=part.start, end=part.start + segment.shared_seconds
            )
            before.end = part.start = part.start + segment.shared_seconds / 2
        self.parts.append(part)
        self.waiting -= 1
