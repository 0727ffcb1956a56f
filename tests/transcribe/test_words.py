"""Labels to words with times; words to captions."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.tokens import BpeTokens, CharTokens, TokenTable
from icefall_sampled.transcribe.captions import COLUMNS, LINES, srt
from icefall_sampled.transcribe.words import Word, confidence_of, text_of, words_of
from tests.support.corpus import write_tokens


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> BpeTokens:
    import sentencepiece

    folder = tmp_path_factory.mktemp("bpe")
    text = folder / "text"
    text.write_text("the quick brown fox jumps over the lazy dog again\n" * 50 + "天気 は\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "bpe"), vocab_size=60, model_type="bpe",
        unk_id=1, bos_id=-1, eos_id=-1, control_symbols="", pad_id=0, pad_piece="<blk>",
        minloglevel=2,
    )  # fmt: skip
    return BpeTokens(folder / "bpe.model")


def words(tokens: TokenTable, ids: list[int], *, start: float = 0.0, every: int = 5) -> list[Word]:
    hypothesis = Hypothesis(
        tokens=ids, frames=[every * n for n in range(len(ids))], token_log_probs=[-0.1] * len(ids)
    )
    return words_of(hypothesis, tokens, start=start, frame_seconds=0.04)


@pytest.mark.parametrize("text", ["the quick brown fox", "dog", "jumps over the lazy", ""])
def test_words_of_subwords_are_the_text(bpe: BpeTokens, text: str) -> None:
    ids = bpe.encode(text)
    found = words(bpe, ids, start=10.0)
    assert [word.text for word in found] == text.split()
    assert text_of(found) == text
    assert [token.id for word in found for token in word.tokens] == ids
    first = 0
    for word in found:
        assert word.start == pytest.approx(10.0 + 0.2 * first)
        first += len(word.tokens)
        assert word.end == pytest.approx(10.0 + 0.2 * (first - 1) + 0.04)
        assert "".join(token.text for token in word.tokens).strip() == word.text


def test_wide_characters_are_words_without_spaces(bpe: BpeTokens, tmp_path: Path) -> None:
    ids = bpe.encode("the 天気 は")
    found = words(bpe, ids)
    assert text_of(found) == bpe.decode(ids) == "the 天気 は"
    assert found[0].text == "the" and found[-1].text == "は"
    letters = CharTokens(write_tokens(tmp_path) / "tokens.txt")
    found = words(letters, letters.encode("abcab"))
    assert [word.text for word in found] == list("abcab")
    assert text_of(found + found) == "abcababcab"


def test_confidence_is_the_mean_over_tokens(bpe: BpeTokens) -> None:
    assert confidence_of([]) is None
    assert confidence_of(words(bpe, bpe.encode("the quick fox"))) == pytest.approx(0.9048, abs=1e-4)


def read_srt(text: str) -> list[tuple[float, float, list[str]]]:
    """Read as a player does: numbers count up, times are in order."""
    found = []
    for number, block in enumerate(text.strip().split("\n\n"), start=1):
        head, times, *lines = block.split("\n")
        assert int(head) == number
        match = re.fullmatch(
            r"(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})", times
        )
        assert match is not None
        h, m, s, ms, h2, m2, s2, ms2 = map(int, match.groups())
        found.append(
            (3600 * h + 60 * m + s + ms / 1000, 3600 * h2 + 60 * m2 + s2 + ms2 / 1000, lines)
        )
    return found


def test_captions_are_short_and_follow_each_other(bpe: BpeTokens) -> None:
    said = words(bpe, bpe.encode("the quick brown fox jumps over the lazy dog " * 30), start=3590.0)
    captions = read_srt(srt(said))
    assert " ".join(" ".join(lines) for _, _, lines in captions) == text_of(said)
    assert captions[0][0] == 3590.0
    for start, end, lines in captions:
        assert 0 < end - start < 7 and len(lines) <= LINES
        assert all(len(line) <= COLUMNS for line in lines)
    for (_, end, _), (start, _, _) in pairwise(captions):
        assert end <= start


def test_a_pause_and_a_full_page_begin_a_caption(tmp_path: Path) -> None:
    table = CharTokens(write_tokens(tmp_path, "天気はabc") / "tokens.txt")
    wide = words(table, table.encode("天気は" * 20), every=1)
    captions = read_srt(srt(wide))
    assert [len(lines) for _, _, lines in captions] == [2, 1]
    assert [len(line) for line in captions[0][2]] == [COLUMNS // 2] * 2  # each takes two columns
    later = words(table, table.encode("abc"), start=30.0)
    assert [start for start, _, _ in read_srt(srt([*wide, *later]))][-1] == 30.0
    (alone,) = read_srt(srt(later))
    assert alone[1] - alone[0] == pytest.approx(1.2)
    assert srt([]) == ""
