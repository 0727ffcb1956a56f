"""Captions from words: short enough to read, shown when the words are spoken."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

from icefall_sampled.transcribe.words import Word, is_wide

COLUMNS = 42
"""Maximum width of a line; a wide character takes two columns."""
LINES = 2
_MAX_SECONDS = 6.0
_PAUSE_SECONDS = 1.0
"""Silence after which a new caption begins."""
_MIN_SECONDS = 1.2
"""A caption is shown at least this long, unless the next one begins."""
_LINGER_SECONDS = 0.5
"""It also stays this long after the end of its last word, unless the next one begins."""


def srt(words: list[Word]) -> str:
    """The contents of a SubRip file."""
    captions = list(_captions(words))
    ends = [
        max(caption[-1].end + _LINGER_SECONDS, caption[0].start + _MIN_SECONDS)
        for caption in captions
    ]
    for i, (_, following) in enumerate(pairwise(captions)):
        ends[i] = min(ends[i], following[0].start)
    return "".join(
        f"{number}\n{_time(caption[0].start)} --> {_time(end)}\n{_text(caption)}\n\n"
        for number, (caption, end) in enumerate(zip(captions, ends, strict=True), start=1)
    )


def _captions(words: list[Word]) -> Iterator[list[Word]]:
    caption: list[Word] = []
    for word in words:
        if caption and (
            word.start - caption[-1].end > _PAUSE_SECONDS
            or word.end - caption[0].start > _MAX_SECONDS
            or len(_lines([*caption, word])) > LINES
        ):
            yield caption
            caption = []
        caption.append(word)
    if caption:
        yield caption


def _lines(words: list[Word]) -> list[str]:
    """The words in lines; a word that is longer than a line is put on its own line."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}{' ' if word.spaced and lines[-1] else ''}{word.text}"
        if _width(longer) <= COLUMNS or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word.text)
    return lines


def _text(words: list[Word]) -> str:
    return "\n".join(_lines(words))


def _width(text: str) -> int:
    """Columns that a text takes; combining marks take none."""
    return sum(
        0 if unicodedata.combining(character) else 1 + is_wide(character) for character in text
    )


def _time(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d},{milliseconds:03d}"
