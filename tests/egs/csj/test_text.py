"""What becomes of tags, and which segments are an utterance."""

from __future__ import annotations

import pytest
from csj_text import connect, text_of, without_repetitions
from lhotse import SupervisionSegment


def segment(start: float, end: float, raw: str) -> SupervisionSegment:
    """As lhotse's recipe makes it, with its words in `raw`."""
    words = " ".join(f"{word}+名詞+カナ" for word in raw.split())
    return SupervisionSegment(
        id=f"A01F0001_{start}", recording_id="A01F0001", start=start, duration=end - start,
        speaker="A01F0001", language="Japanese", custom={"raw": words},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("(F_えー) それ で", "えーそれで"),
        ("(D_け) 研究", "け研究"),
        ("(D2_が) を", "がを"),
        ("(?_効果) が", "効果が"),
        ("(A_ピーシー;ＰＣ) を", "ＰＣを"),
        ("(A_二千;２０００) 人", "二千人"),
        ("(W_シリョ;資料) を", "資料を"),
        ("(F_(W_ウー;うーん)) と", "うーんと"),
        ("(M_は) (O_ボンジュール)", "はボンジュール"),
        ("(R_×××) 先生", "×××先生"),
        ("ゼロ 零 零点", "００零点"),
        ("クヮ ゎ", "クワわ"),
    ],
)
def test_tags(raw: str, text: str) -> None:
    assert text_of(segment(0, 1, raw)) == text


def test_segments_are_joined_as_in_kaldi() -> None:
    segments = [
        segment(0.1, 1.0, "あ"), segment(1.5, 2.0, "い"),  # half a second is no pause
        segment(2.501, 3.0, "う"),
        segment(3.6, 10.0, "え"), segment(10.2, 14.0, "お"), segment(14.1, 15.0, "か"),
    ]  # fmt: skip
    joined = list(connect(reversed(segments)))
    assert [(u.id, u.text) for u in joined] == [
        ("A01F0001_0000100_0002000", "あい"),
        ("A01F0001_0002501_0003000", "う"),
        # It was not 10 seconds long before お, and is with it.
        ("A01F0001_0003600_0014000", "えお"),
        ("A01F0001_0014100_0015000", "か"),
    ]
    assert joined[0].duration == 1.9


def test_repetitions_beyond_the_limit_are_left_out() -> None:
    utterances = list(connect(segment(2 * i, 2 * i + 1, "はい") for i in range(5)))
    utterances.insert(3, *connect([segment(20, 21, "いえ")]))
    kept = list(without_repetitions(utterances, limit=2))
    assert [u.text for u in kept] == ["はい", "はい", "いえ"]
    assert kept == [utterances[0], utterances[1], utterances[3]]
