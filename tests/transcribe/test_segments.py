"""Where long sound is cut: in pauses, or with an overlap in which no word is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefall_sampled.transcribe.audio import Unreadable
from icefall_sampled.transcribe.segments import Segment, cut
from icefall_sampled.transcribe.words import Token, Word, joined
from tests.transcribe.sounds import RATE, noise, silence, tone


def in_blocks(samples: np.ndarray, size: int = 7777) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def cut_all(samples: np.ndarray, seconds: float = 10.0, overlap: float = 2.0) -> list[Segment]:
    return list(cut(in_blocks(samples), max_seconds=seconds, overlap_seconds=overlap))


def check_cover(segments: list[Segment], samples: np.ndarray, seconds: float) -> None:
    """Every sample is in a segment, shared ones in two, and none is too long."""
    place = 0
    for segment in segments:
        start = round(segment.start * RATE)
        assert start == place - round(segment.shared_seconds * RATE)
        np.testing.assert_array_equal(
            segment.samples, samples[start : start + len(segment.samples)]
        )
        assert segment.seconds <= seconds
        place = start + len(segment.samples)
    assert place == len(samples)


def test_a_short_or_empty_file_is_one_segment() -> None:
    for samples in (silence(0.0), tone(0.01), tone(10.0)):
        (segment,) = cut_all(samples)
        assert (segment.start, segment.shared_seconds) == (0, 0)
        np.testing.assert_array_equal(segment.samples, samples)


def test_cuts_lie_in_the_longest_pause_of_the_second_half() -> None:
    # pauses of 0.4 s around 6, of 0.8 s around 7, of 0.4 s around 8.5
    pieces = [tone(5.8), silence(0.4), tone(0.4), silence(0.8), tone(0.9), silence(0.4), tone(6.0)]
    hum = np.concatenate(pieces) + noise(14.7, level=0.003)
    segments = cut_all(hum)
    check_cover(segments, hum, 10.0)
    assert len(segments) == 2
    assert segments[1].start == pytest.approx(7.0, abs=0.1)
    assert segments[1].shared_seconds == 0


def test_the_closure_of_a_plosive_is_no_pause() -> None:
    pieces = [tone(6.0), silence(0.12), tone(6.0)]
    segments = cut_all(np.concatenate(pieces))
    assert len(segments) == 2
    assert segments[1].shared_seconds == 2.0
    # but it is the quietest point, so it is what the overlap lies around
    assert segments[1].start + 1.0 == pytest.approx(6.06, abs=0.1)


@given(
    # In centiseconds: hypothesis draws no floats once something has flushed denormals.
    seconds=st.integers(0, 2300).map(lambda hundredths: hundredths / 100 + 1 / 32_000),
    longest=st.sampled_from([1.0, 2.5, 4.0]),
    share=st.sampled_from([0.0, 0.1, 0.25]),
    seed=st.integers(0, 3),
)
def test_nothing_is_lost_whatever_the_lengths(
    seconds: float, longest: float, share: float, seed: int
) -> None:
    samples = noise(seconds, seed=seed)
    check_cover(cut_all(samples, longest, share * longest), samples, longest)


def test_an_hour_of_silence_is_no_trouble() -> None:
    def hour() -> Iterator[np.ndarray]:
        for _ in range(720):
            yield silence(5.0)

    total = 0.0
    for segment in cut(hour(), max_seconds=20.0, overlap_seconds=4.0):
        assert 0 < segment.seconds <= 20 and segment.shared_seconds == 0
        total += segment.seconds
    assert total == 3600


def test_what_was_read_before_an_error_is_given_first() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield tone(3.0)
        raise Unreadable("it ends")

    given_so_far = []
    with pytest.raises(Unreadable, match="it ends"):
        for segment in cut(broken(), max_seconds=10.0, overlap_seconds=2.0):
            given_so_far.append(segment.seconds)
    assert given_so_far == [3.0]


def word(text: str, time: float) -> Word:
    token = Token(id=1, text=f" {text}", time=time, log_prob=-0.1)
    return Word(text=text, spaced=True, tokens=(token,), frame_seconds=0.04)


def heard(
    segment: Segment, said: list[tuple[str, float]], random: np.random.RandomState
) -> list[Word]:
    """What a model makes of a segment: late by a little, and wrong where a word is cut."""
    found = []
    for text, time in said:
        if segment.start <= time < segment.end:
            edge = min(time - segment.start, segment.end - time)
            cut_off = edge < 0.5 and segment.start > 0 and segment.end < 59
            late = time + random.uniform(0, 0.12)
            found.append(word("uh" if cut_off and random.rand() < 0.5 else text, late))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_no_word_is_lost_or_doubled_at_a_seam(seed: int) -> None:
    random = np.random.RandomState(seed)
    samples = noise(60.0, seed=seed, level=0.05) + tone(60.0)  # without any pause
    said, time = [], 0.3
    while time < 59.0:
        said.append((random.choice(["one", "two", "three"]), time))  # often the same again
        time += random.uniform(0.25, 0.8)
    segments = cut_all(samples)
    assert len(segments) > 6 and all(segment.shared_seconds for segment in segments[1:])
    words: list[Word] = []
    for segment in segments:
        found = heard(segment, said, random)
        if segment.shared_seconds:
            words, found = joined(
                words, found, begin=segment.start, end=segment.start + segment.shared_seconds
            )
        words = words + found
    assert [w.text for w in words] == [text for text, _ in said]


def test_without_a_common_word_time_decides() -> None:
    left = [word("a", 7.0), word("b", 8.5), word("x", 9.5)]
    right = [word("y", 8.4), word("c", 9.2), word("d", 10.5)]
    kept = joined(left, right, begin=8.0, end=10.0)
    assert [[w.text for w in side] for side in kept] == [["a", "b"], ["c", "d"]]


def test_time_never_runs_backwards_across_a_seam() -> None:
    left = [word("a", 8.6), word("b", 8.95), word("one", 9.2)]
    right = [word("one", 8.8), word("c", 9.4)]  # another "one", it seems
    before, after = joined(left, right, begin=8.0, end=10.0)
    assert [w.text for w in before + after] == ["a", "b", "c"]


def test_what_one_side_alone_heard_is_kept() -> None:
    early, late = word("a", 7.0), word("b", 8.5)
    assert joined([early], [late], begin=8.0, end=10.0) == ([early], [late])
    assert joined([early, late], [word("c", 10.5)], begin=8.0, end=10.0)[0] == [early, late]
    assert joined([], [], begin=8.0, end=10.0) == ([], [])
