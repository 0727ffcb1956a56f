"""The text and the utterances of CSJ, as in the recipes of Kaldi and ESPnet.

Text. If the transcript offers alternatives, lhotse's parser chooses as Kaldi's csj2kaldi4m.pl does:

    (F えー) (D こ) (? 効果) (M は) (O ボンジュール)
                              fillers, fragments and the like: the text in the brackets is kept
    (A ピーシー;ＰＣ)           the written form, ＰＣ; for numbers the kanji: (A 三;３) is 三
    (W シリョ;シリョー)         the intended word; the corpus has it only in the pronunciation
    (R ×××)                   hidden names: an utterance with × is left out
    <H> <息> <笑> …            noises are removed

This module adds two steps that Kaldi has and lhotse does not: small ヮ and ゎ become large, and the
words ゼロ and 零 become ０. In two cases lhotse differs from Kaldi: for (K x;y), a slip in writing,
it takes y, and Kaldi joins x and y; the marks 笑, 泣, 咳 of speech while laughing, crying or
coughing are removed, and Kaldi keeps them as text.

Utterances. The segments of the transcript end at every pause of 0.2 s. As in Kaldi's csjconnect.pl
they are joined: the next segment is added unless the pause before it is longer than 0.5 s or the
utterance is already longer than 10 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lhotse import SupervisionSegment
from lhotse.recipes.csj import INTERNAL_SEP, CSJSDBParser
from lhotse.utils import fastcopy

LONGEST_PAUSE_SECONDS = 0.5
LONG_ENOUGH_SECONDS = 10.0
HIDDEN = "×"
_LARGE = str.maketrans("ヮゎ", "ワわ")
_ZERO = {"ゼロ": "０", "零": "０"}


def surfaces(raw: str) -> str:
    """The surfaces of `surface+morphology+pronunciation` words, the format of lhotse."""
    words = (word.split("+")[0] for word in raw.split(INTERNAL_SEP))
    return INTERNAL_SEP.join(_ZERO.get(word, word) for word in words if word).translate(_LARGE)


_PARSER = CSJSDBParser(preprocess=surfaces)


def text_of(segment: SupervisionSegment) -> str:
    """The text of a segment, without tags and spaces."""
    text: str = _PARSER.parse(segment.custom["raw"])
    return text


def connect(segments: Iterable[SupervisionSegment]) -> Iterator[SupervisionSegment]:
    """The utterances of a session, named by session and by start and end in milliseconds."""
    run: list[SupervisionSegment] = []
    for segment in sorted(segments, key=lambda s: s.start):
        if run and _is_complete(run, before=segment):
            yield _join(run)
            run = []
        run.append(segment)
    if run:
        yield _join(run)


def _is_complete(run: list[SupervisionSegment], *, before: SupervisionSegment) -> bool:
    pause = before.start - run[-1].end
    return pause > LONGEST_PAUSE_SECONDS or run[-1].end - run[0].start > LONG_ENOUGH_SECONDS


def _join(run: list[SupervisionSegment]) -> SupervisionSegment:
    start, end = run[0].start, run[-1].end
    session = run[0].recording_id
    return fastcopy(
        run[0],
        id=f"{session}_{round(1000 * start):07d}_{round(1000 * end):07d}",
        duration=round(end - start, 3),
        text="".join(text_of(segment) for segment in run),
        custom=None,
    )


def without_repetitions(
    utterances: Iterable[SupervisionSegment], *, limit: int
) -> Iterator[SupervisionSegment]:
    """The utterances, with only the first `limit` of those with the same text.

    Spontaneous speech has thousands of はい; ESPnet trains on 300.
    """
    seen: dict[str, int] = {}
    for utterance in utterances:
        count = seen[utterance.text] = seen.get(utterance.text, 0) + 1
        if count <= limit:
            yield utterance
