"""Token tables: text to ids and back. Blank is id 0 in each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from icefall_sampled.errors import UserError
from icefall_sampled.files import read_text

BLANK = 0
BLANK_TOKEN = "<blk>"
UNKNOWN_TOKEN = "<unk>"
UNKNOWN_TEXT = "⁇"
"""What `decode` writes for the unknown, as SentencePiece does: one character, and never right."""


class TokenTable(Protocol):
    """What training, decoding and scoring need of a tokenizer."""

    vocab_size: int
    """V, classes with blank."""
    unknown_id: int
    """The id that `encode` gives to what is outside the table."""
    fingerprint: str
    """Tells tables apart: a checkpoint refuses to be decoded with another's."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, none of them blank."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        ...

    def piece(self, token_id: int) -> str:
        """A single token as its table writes it; of a BPE, "▁" stands for a space before it."""
        ...


class BpeTokens:
    """A SentencePiece model in which piece 0 is `<blk>`."""

    def __init__(self, model: Path) -> None:
        import sentencepiece

        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.load(str(model))
        except (RuntimeError, OSError) as error:
            raise UserError(f"{model}: it is no SentencePiece model") from error
        if self._processor.id_to_piece(BLANK) != BLANK_TOKEN:
            first = self._processor.id_to_piece(BLANK)
            raise UserError(f"{model}: piece 0 is {first!r}, it must be {BLANK_TOKEN!r}")
        self.vocab_size: int = self._processor.get_piece_size()
        self.unknown_id: int = self._processor.unk_id()
        self.fingerprint = hashlib.sha256(model.read_bytes()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of a text, none of them blank."""
        ids: list[int] = self._processor.encode(text)
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        text: str = self._processor.decode(ids)
        return text

    def piece(self, token_id: int) -> str:
        """A single token as its table writes it; "▁" stands for a space before it."""
        piece: str = self._processor.id_to_piece(token_id)
        return piece


class _ListedTokens:
    """A table in a text file: a line `token id` for each, with `<blk>` as 0 and `<unk>`."""

    def __init__(self, path: Path) -> None:
        text = read_text(path)
        rows = [line.rsplit(maxsplit=1) for line in text.splitlines() if line.strip()]
        if any(len(row) != 2 or row[1] != str(i) for i, row in enumerate(rows)):
            raise UserError(f"{path}: each line must be `token id`, ids counting from 0")
        self._tokens = [token for token, _ in rows]
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        if len(self._ids) < len(rows):
            again = next(t for i, t in enumerate(self._tokens) if self._ids[t] != i)
            raise UserError(f"{path}: token {again!r} has two ids, it must have one")
        if not rows or self._tokens[BLANK] != BLANK_TOKEN or UNKNOWN_TOKEN not in self._ids:
            raise UserError(f"{path}: {BLANK_TOKEN} must have id 0, {UNKNOWN_TOKEN} any id")
        self.vocab_size = len(rows)
        self.unknown_id = self._ids[UNKNOWN_TOKEN]
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def piece(self, token_id: int) -> str:
        """A single token."""
        return self._tokens[token_id]

    def _texts(self, ids: list[int]) -> list[str]:
        return [UNKNOWN_TEXT if i == self.unknown_id else self._tokens[i] for i in ids]


class CharTokens(_ListedTokens):
    """Characters, one id each; spaces are dropped."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, none of them blank."""
        return [self._ids.get(c, self.unknown_id) for c in text if not c.isspace()]

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        return "".join(self._texts(ids))


class WordTokens(_ListedTokens):
    """What stands between spaces, one id each: words, syllables or phones."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, none of them blank."""
        return [self._ids.get(word, self.unknown_id) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        """The text of ids, with single spaces."""
        return " ".join(self._texts(ids))


TOKEN_FILES: dict[str, Callable[[Path], TokenTable]] = {
    "bpe.model": BpeTokens,
    "word_tokens.txt": WordTokens,
    "tokens.txt": CharTokens,
}
"""The kind of table that each file holds. Of several in a folder the first counts. None is called
words.txt: that is a lexicon in icefall, beside a tokens.txt."""


OWN_TABLE = "lang"
"""The folder in a run's folder that holds a copy of its token table."""


def find_token_file(folder: Path) -> Path | None:
    """The file with a token table in a folder, or in its `lang`; None where there is none."""
    for place in (folder, folder / OWN_TABLE):
        for name in TOKEN_FILES:
            if (place / name).is_file():
                return place / name
    return None


def token_file(lang_dir: Path) -> Path:
    """The file of a language folder that holds its token table.

    Raises:
        UserError: where the folder has none.
    """
    for name in TOKEN_FILES:
        if (lang_dir / name).is_file():
            return lang_dir / name
    raise UserError(
        f"data.lang_dir is {lang_dir}, it must be a folder with bpe.model, word_tokens.txt or "
        "tokens.txt (prepare.sh makes it)"
    )


def load_tokens(lang_dir: Path) -> TokenTable:
    """The token table of a language folder, see `TOKEN_FILES`.

    Raises:
        UserError: where the folder has none, or a malformed one.
    """
    path = token_file(lang_dir)
    return TOKEN_FILES[path.name](path)
