"""The text and the utterances of CSJ, as the recipes of Kaldi and ESPnet have them.

Text. Lhotse's parser decides what is read where the transcript offers a choice, and its decisions
are those of Kaldi's csj2kaldi4m.pl:

    (F えー) (D こ) (? 効果) (M は) (O ボンジュール)
                              fillers, fragments and the like: what is in the brackets is kept
    (A ピーシー;ＰＣ)           the written form, ＰＣ; of numbers the kanji: (A 三;３) is 三
    (W シリョ;シリョー)         what was meant; the corpus has it in the pronunciation alone
    (R ×××)                   hidden names: an utterance with × is left out
    <H> <息> <笑> …            noises are no text

What Kaldi does besides, and lhotse does not, is done here: small ヮ and ゎ become large, and a word
that is ゼロ or 零 becomes ０. Two decisions are lhotse's alone: of (K x;y), a slip in writing, it
takes y, where Kaldi joins x and y; and the marks 笑, 泣, 咳 of speech while laughing, crying or
coughing go, where Kaldi keeps them as text.

Utterances. The segments of the transcript end at every pause of 0.2 s. Kaldi's csjconnect.pl joins
them: the next one is added unless the pause before it is longer than 0.5 s or more than 10 s have
been spoken already.
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
    """`surface+morphology+pronunciation` words, as lhotse keeps them, to surfaces alone."""
    words = (word.split("+")[0] for word in raw.split(INTERNAL_SEP))
    return INTERNAL_SEP.join(_ZERO.get(word, word) for word in words if word).translate(_LARGE)


_PARSER = CSJSDBParser(preprocess=surfaces)


def text_of(segment: SupervisionSegment) -> str:
    """What was said in a segment, without tags and spaces."""
    text: str = _PARSER.parse(segment.custom["raw"])
    return text


def connect(segments: Iterable[SupervisionSegment]) -> Iterator[SupervisionSegment]:
    """The utterances of a session, each named by session, start and end in milliseconds."""
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
    """The utterances, but of those that say the same only the first so many.

    Spontaneous speech has thousands of はい; ESPnet trains on 300.
    """
    seen: dict[str, int] = {}
    for utterance in utterances:
        count = seen[utterance.text] = seen.get(utterance.text, 0) + 1
        if count <= limit:
            yield utterance
