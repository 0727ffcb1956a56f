"""The table of characters or words, as the token table of training reads it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lhotse import CutSet

from icefall_sampled.tokens import BLANK, CharTokens, WordTokens, load_tokens
from local.make_tokens import main
from tests.local.conftest import MakeCut
from tests.support.recipes import ROOT, run

TEXTS = ["今日は 良い　天気", "ＣＤを買う\u2028", "A-1 #2 ± <b>", "𠮷野家で会う"]


@pytest.fixture
def cuts(make_cut: MakeCut, tmp_path: Path) -> Path:
    cuts = [make_cut(f"utt-{n}", seconds=0.2, text=text) for n, text in enumerate(TEXTS)]
    # A copy of speed perturbation, and what it says, must not count.
    cuts.append(make_cut("utt-0_sp0.9", seconds=0.2, text="鬱"))
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl.gz")
    return tmp_path / "cuts.jsonl.gz"


def test_every_character_of_the_training_text_is_a_class(cuts: Path, tmp_path: Path) -> None:
    main(cuts, tmp_path / "lang", units="characters")
    tokens = load_tokens(tmp_path / "lang")
    assert isinstance(tokens, CharTokens)
    characters = sorted({c for text in TEXTS for c in text if not c.isspace()})
    assert tokens.vocab_size == 2 + len(characters)
    assert tokens.decode(list(range(2, tokens.vocab_size))) == "".join(characters)
    for text in TEXTS:
        ids = tokens.encode(text)
        assert tokens.decode(ids) == "".join(text.split())
        assert BLANK not in ids
        assert tokens.unknown_id not in ids
    assert tokens.encode("鬱") == [tokens.unknown_id]


def test_words_are_what_stands_between_spaces(cuts: Path, tmp_path: Path) -> None:
    main(cuts, tmp_path / "lang", units="words")
    tokens = load_tokens(tmp_path / "lang")
    assert isinstance(tokens, WordTokens)
    words = sorted({word for text in TEXTS for word in text.split()})
    assert tokens.decode(list(range(2, tokens.vocab_size))) == " ".join(words)
    for text in TEXTS:
        assert tokens.decode(tokens.encode(text)) == " ".join(text.split())
    assert tokens.encode("鬱 #2") == [tokens.unknown_id, tokens.encode("#2")[0]]


def test_the_log_says_how_many_classes_there_are_and_why(
    cuts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        main(cuts, tmp_path / "lang", units="characters")
    classes = load_tokens(tmp_path / "lang").vocab_size
    assert f"{classes} classes: blank, unknown and {classes - 2} characters" in caplog.text


def test_the_order_of_the_transcripts_does_not_matter(cuts: Path, tmp_path: Path) -> None:
    backwards = tmp_path / "backwards.jsonl.gz"
    CutSet.from_cuts(reversed(list(CutSet.from_file(cuts)))).to_file(backwards)
    main(cuts, tmp_path / "one", units="characters")
    main(backwards, tmp_path / "two", units="characters")
    tables = [(tmp_path / name / "tokens.txt").read_bytes() for name in ("one", "two")]
    assert tables[0] == tables[1]


def test_as_a_program(cuts: Path, make_cut: MakeCut, tmp_path: Path) -> None:
    program = ROOT / "local/make_tokens.py"
    assert run(program, cuts, tmp_path / "lang", "--units", "characters").returncode == 0
    assert load_tokens(tmp_path / "lang").vocab_size > 2
    silent = tmp_path / "silent.jsonl.gz"
    CutSet.from_cuts([make_cut("silent", seconds=0.2, text=" ")]).to_file(silent)
    for source, sentence in ((tmp_path / "none", "CUTS is"), (silent, "have no transcripts")):
        done = run(program, source, tmp_path / "other", "--units", "characters")
        assert done.returncode == 2
        assert sentence in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "other").exists()
