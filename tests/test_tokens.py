"""Token tables: round trips, blank, and files that are no tables."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece

from icefall_sampled.tokens import BpeTokens, CharTokens, WordTokens, load_tokens
from tests.support.corpus import write_tokens

SENTENCES = ["press one for sales", "press two for support", "you have three new messages"]


def write_bpe(folder: Path, *, blank: str = "<blk>", pieces: int = 40) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, vocab_size=pieces,
        model_type="bpe", user_defined_symbols=[blank], unk_id=1, bos_id=-1, eos_id=-1,
        pad_id=-1, minloglevel=2,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bpe.model").write_bytes(model.getvalue())
    return folder


def test_bpe_round_trip(tmp_path: Path) -> None:
    tokens = load_tokens(write_bpe(tmp_path))
    assert isinstance(tokens, BpeTokens)
    assert tokens.vocab_size == 40
    for sentence in SENTENCES:
        ids = tokens.encode(sentence)
        assert tokens.decode(ids) == sentence
        assert "".join(map(tokens.piece, ids)) == "▁" + sentence.replace(" ", "▁")
        assert all(0 < i < 40 and i != tokens.unknown_id for i in ids)
    assert tokens.unknown_id in tokens.encode("press ж")
    assert tokens.decode([]) == ""


def test_characters_round_trip(tmp_path: Path) -> None:
    tokens = load_tokens(write_tokens(tmp_path, "ab中"))
    assert isinstance(tokens, CharTokens)
    assert tokens.vocab_size == 5
    assert tokens.encode("b 中a") == [3, 4, 2]
    assert tokens.decode([3, 4, 2]) == "b中a"
    assert tokens.piece(4) == "中"
    assert tokens.encode("x") == [tokens.unknown_id]


def test_words_round_trip(tmp_path: Path) -> None:
    (tmp_path / "word_tokens.txt").write_text("<blk> 0\n<unk> 1\nming2 2\nzi4 3\n")
    tokens = load_tokens(write_tokens(tmp_path, "ab"))  # word_tokens.txt comes before tokens.txt
    assert isinstance(tokens, WordTokens)
    assert tokens.encode(" zi4  ming2 shu1\n") == [3, 2, tokens.unknown_id]
    assert tokens.decode([2, tokens.unknown_id]) == "ming2 ⁇"
    assert tokens.decode([2, 3, 3]) == "ming2 zi4 zi4"
    assert tokens.piece(3) == "zi4"
    assert (tokens.encode(" "), tokens.decode([])) == ([], "")


def test_bpe_model_is_preferred_and_a_missing_table_is_named(tmp_path: Path) -> None:
    write_tokens(write_bpe(tmp_path / "both"))
    assert isinstance(load_tokens(tmp_path / "both"), BpeTokens)
    with pytest.raises(ValueError, match="data.lang_dir is .*, it must be a folder with"):
        load_tokens(tmp_path / "none")


def test_fingerprint_tells_tables_apart(tmp_path: Path) -> None:
    first = load_tokens(write_tokens(tmp_path / "a", "abc"))
    same = load_tokens(write_tokens(tmp_path / "b", "abc"))
    other = load_tokens(write_tokens(tmp_path / "c", "acb"))
    assert first.fingerprint == same.fingerprint != other.fingerprint
    forty, thirty = write_bpe(tmp_path / "40"), write_bpe(tmp_path / "30", pieces=30)
    assert load_tokens(forty).fingerprint != load_tokens(thirty).fingerprint


@pytest.mark.parametrize(
    "table",
    [
        "",
        "<unk> 0\n<blk> 1\n",
        "<blk> 0\na 1\n",
        "<blk> 0\n<unk> 2\n",
        "<blk> 0\n<unk> 1\na\n",
        "<blk> 0\n<unk> 1\na two\n",
        "<blk> 0\n<unk> 1\na 2\na 3\n",
    ],
)
def test_malformed_character_tables_are_named(tmp_path: Path, table: str) -> None:
    (tmp_path / "tokens.txt").write_text(table)
    with pytest.raises(ValueError, match=r"tokens\.txt: "):
        load_tokens(tmp_path)


def test_a_table_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_bytes(b"<blk> 0\n<unk> 1\n\xff\xfe 2\n")
    with pytest.raises(ValueError, match=r"tokens\.txt is damaged: it is not UTF-8"):
        load_tokens(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x00" * 64])
def test_a_damaged_bpe_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bpe.model").write_bytes(content)
    with pytest.raises(ValueError, match=r"bpe\.model: "):
        load_tokens(tmp_path)


def test_a_bpe_model_without_blank_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bpe\.model: piece 0 is '<other>', it must be '<blk>'"):
        load_tokens(write_bpe(tmp_path, blank="<other>"))
