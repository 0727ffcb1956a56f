"""Words and times from labels and frames, also where two segments are joined.

Words are separated by spaces; in a language written without spaces, each token is a word.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.tokens import CharTokens, TokenTable

_SPACE = "▁"
"""A subword tokenizer's mark for a space; it may also be a token by itself."""
_SAME_SECONDS = 0.5
"""Two overlapping segments emit the same word at most this far apart."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A label with its text and time."""

    id: int
    text: str
    """The text that it adds to its segment, with the space before it, if any."""
    time: float
    """When it was emitted, in seconds from the beginning of the file."""
    log_prob: float


@dataclass(frozen=True, kw_only=True)
class Word:
    """One or more tokens."""

    text: str
    spaced: bool
    """Whether a space is written before it."""
    tokens: tuple[Token, ...]
    frame_seconds: float

    @property
    def start(self) -> float:
        """When its first token was emitted, in seconds from the beginning of the file."""
        return self.tokens[0].time

    @property
    def end(self) -> float:
        """The end of the frame that emitted its last token."""
        return self.tokens[-1].time + self.frame_seconds


def words_of(
    hypothesis: Hypothesis, tokens: TokenTable, *, start: float, frame_seconds: float
) -> list[Word]:
    """The words of a segment that begins `start` seconds into the file."""
    ids = hypothesis.tokens
    # Only the text that a subword tokenizer decodes shows where a word begins.
    texts = [tokens.decode(ids[: n + 1]) for n in range(len(ids))]
    whole = texts[-1] if texts else ""
    groups, begins = _group(ids, texts, tokens)
    timed = [
        Token(
            id=ids[n],
            text=text[len(before) :],
            time=start + hypothesis.frames[n] * frame_seconds,
            log_prob=hypothesis.token_log_probs[n],
        )
        for n, (before, text) in enumerate(pairwise(["", *texts]))
    ]
    return [
        Word(
            text=whole[begin:end].strip(),
            spaced=_spaced(whole, begin, tokens),
            tokens=tuple(timed[n] for n in group),
            frame_seconds=frame_seconds,
        )
        for group, (begin, end) in zip(groups, pairwise([*begins, len(whole)]), strict=True)
        if whole[begin:end].strip()
    ]


def _group(
    ids: list[int], texts: list[str], tokens: TokenTable
) -> tuple[list[list[int]], list[int]]:
    """The indices of each word's tokens, and where in the whole text the word begins.

    Args:
        ids: tokens.
        texts: text of the first token, of the first two, and so on.
        tokens: the token table.
    """
    whole = texts[-1] if texts else ""
    groups: list[list[int]] = []
    begins: list[int] = []
    reached = 0
    for n, text in enumerate(texts):
        begin = reached + _spaces(whole[reached:])
        gives = len(text.rstrip()) > reached
        opens = tokens.piece(ids[n]).startswith(_SPACE)
        is_started = bool(begins) and begins[-1] < reached
        if not groups or (is_started and (opens or (gives and _begins_word(whole, begin, tokens)))):
            groups.append([])
            begins.append(begin)
        groups[-1].append(n)
        reached = max(reached, len(text.rstrip()))
    return groups, begins


def _spaces(text: str) -> int:
    return len(text) - len(text.lstrip())


def _begins_word(whole: str, begin: int, tokens: TokenTable) -> bool:
    """Whether the character at `begin` is the first of a word."""
    if begin >= len(whole):
        return False
    if isinstance(tokens, CharTokens) or begin == 0 or whole[begin - 1].isspace():
        return True
    return is_wide(whole[begin]) or is_wide(whole[begin - 1])


def _spaced(whole: str, begin: int, tokens: TokenTable) -> bool:
    """Whether a space precedes the character at `begin`, also if it begins a segment."""
    if begin == 0:
        return not isinstance(tokens, CharTokens) and not is_wide(whole[:1])
    return whole[begin - 1].isspace()


def is_wide(character: str) -> bool:
    """Whether it is as wide as two Latin letters, as in Chinese, Japanese and Korean."""
    return character != "" and unicodedata.east_asian_width(character) in "WF"


def text_of(words: list[Word]) -> str:
    """The words in one line."""
    return "".join(f"{' ' if word.spaced else ''}{word.text}" for word in words).strip()


def confidence_of(words: list[Word]) -> float | None:
    """The geometric mean of their tokens' probabilities; None without words."""
    log_probs = [token.log_prob for word in words for token in word.tokens]
    return math.exp(sum(log_probs) / len(log_probs)) if log_probs else None


def joined(
    left: list[Word], right: list[Word], *, begin: float, end: float
) -> tuple[list[Word], list[Word]]:
    """The words to keep from two segments that overlap from `begin` to `end`.

    Near its edge a segment may contain half a word, so each word is taken from the segment in
    which it is farther from the edge. The two emit a word at slightly different times. Therefore
    the cut is before a word that both have, the one nearest to the middle; words before which time
    would run backwards are not used. If no such word exists, the cut is at the middle.
    """
    middle = (begin + end) / 2
    best: tuple[float, int, int] | None = None
    for i, word in enumerate(left):
        if word.start < begin:
            continue
        reached = left[i - 1].start if i else begin
        same = [
            (abs(other.start - word.start), j)
            for j, other in enumerate(right)
            if other.text == word.text and reached <= other.start < end
        ]
        apart, j = min(same, default=(math.inf, 0))
        if apart <= _SAME_SECONDS:
            off = abs((word.start + right[j].start) / 2 - middle)
            best = min(best or (math.inf, 0, 0), (off, i, j))
    if best is not None:
        return left[: best[1]], right[best[2] :]
    if not any(word.start >= begin for word in left):  # words in only one of them are kept
        return left, right
    if not any(word.start < end for word in right):
        return left, right
    return (
        [word for word in left if word.start < middle],
        [word for word in right if word.start >= middle],
    )
