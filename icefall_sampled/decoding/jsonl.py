"""Hypotheses as JSON lines: NeMo's manifest with the recognised text and its confidence.

A line is an utterance. `audio_filepath`, `offset`, `duration`, `text` (the reference) and
`pred_text` are NeMo's; lhotse makes a recording, a cut and a supervision from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhotse.cut import Cut, MonoCut, MultiCut

from icefall_sampled.decoding.scoring import Result
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.files import replacing
from icefall_sampled.tokens import TokenTable


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A decoded utterance."""

    id: str
    text: str
    """The reference."""
    nbest: list[Hypothesis]
    """At least one, the best first."""

    def result(self, tokens: TokenTable) -> Result:
        """Its reference and best hypothesis in words, for scoring."""
        return Result(
            id=self.id,
            reference=self.text.split(),
            hypothesis=tokens.decode(self.nbest[0].tokens).split(),
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the audio of an utterance is."""

    audio: str | None
    """A file; None for mixed or speed-perturbed cuts, and for cuts with features only."""
    offset_seconds: float
    """From the beginning of the file."""
    duration_seconds: float


def place_of(cut: Cut) -> Place:
    """Where the audio of a cut is."""
    nowhere = Place(audio=None, offset_seconds=0.0, duration_seconds=cut.duration)
    if not isinstance(cut, MonoCut | MultiCut) or not cut.has_recording:
        return nowhere
    sources = cut.recording.sources
    if len(sources) != 1 or sources[0].type != "file" or cut.recording.transforms:
        return nowhere
    return Place(
        audio=str(Path(sources[0].source).absolute()),
        offset_seconds=cut.start,
        duration_seconds=cut.duration,
    )


def write_jsonl(
    path: Path,
    decoded: Iterable[Decoded],
    places: Mapping[str, Place],
    tokens: TokenTable,
    *,
    frame_seconds: float,
) -> None:
    """Write a line for each utterance, by id.

    Args:
        path: the file.
        decoded: the utterances.
        places: their audio by id.
        tokens: the token table of the labels.
        frame_seconds: time from one encoder frame to the next.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for utterance in sorted(decoded, key=lambda u: u.id):
            row = _row(utterance, places[utterance.id], tokens, frame_seconds)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _row(
    utterance: Decoded, place: Place, tokens: TokenTable, frame_seconds: float
) -> dict[str, Any]:
    """An utterance as a JSON object; times of tokens are from the beginning of the utterance."""
    best = utterance.nbest[0]
    labels = zip(best.tokens, best.frames, best.token_log_probs, strict=True)
    return {
        "id": utterance.id,
        "audio_filepath": place.audio,
        "offset": round(place.offset_seconds, 6),
        "duration": round(place.duration_seconds, 6),
        "text": utterance.text,
        "pred_text": tokens.decode(best.tokens),
        "confidence": round(best.confidence, 4),
        "log_prob": round(best.log_prob, 4),
        "tokens": [
            {
                "token": tokens.piece(token),
                "start": round(frame * frame_seconds, 3),
                "log_prob": round(log_prob, 4),
            }
            for token, frame, log_prob in labels
        ],
        "nbest": [
            {
                "text": tokens.decode(hypothesis.tokens),
                "log_prob": round(hypothesis.log_prob, 4),
                "confidence": round(hypothesis.confidence, 4),
            }
            for hypothesis in utterance.nbest
        ],
    }
