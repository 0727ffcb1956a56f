"""Ids of the BPE model, and sizes that the text does not allow."""

from __future__ import annotations

from pathlib import Path

import pytest
from lhotse import CutSet

from icefall_sampled.tokens import load_tokens
from local.train_bpe import main
from tests.local.conftest import MakeCut

TEXTS = [
    "you have twenty three new messages",
    "привет мир press one now",
    "l'été déjà vu seven eight nine",
    "the number you have dialed is not in service please check the number and try again",
]


@pytest.fixture
def cuts(make_cut: MakeCut, tmp_path: Path) -> Path:
    # Ids of speakers look a little like those of lhotse's copies.
    cuts = [make_cut(f"utt_spk1_{n}", seconds=0.2, text=text) for n, text in enumerate(TEXTS)]
    # Copies of speed perturbation, and what they say, must not count.
    cuts.append(make_cut("utt_spk1_0_sp0.9", seconds=0.2, text="zzz"))
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl.gz")
    return tmp_path / "cuts.jsonl.gz"


def test_blank_is_zero_and_text_survives(cuts: Path, tmp_path: Path) -> None:
    main(cuts, tmp_path / "lang", vocab_size=50)
    tokens = load_tokens(tmp_path / "lang")
    assert tokens.vocab_size == 50
    assert tokens.unknown_id == 1
    lines = (tmp_path / "lang/tokens.txt").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["<blk> 0", "<unk> 1"]
    assert [line.rsplit(" ", 1)[1] for line in lines] == [str(i) for i in range(50)]
    for text in TEXTS:
        ids = tokens.encode(text)
        assert min(ids) > 1
        assert tokens.decode(ids) == text
    assert tokens.unknown_id in tokens.encode("zzz")
    assert 0 not in tokens.encode("<blk>")
    transcript = (tmp_path / "lang/transcript.txt").read_text(encoding="utf-8")
    assert transcript.splitlines() == TEXTS


def test_same_text_same_model(cuts: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        main(cuts, tmp_path / name, vocab_size=50)
    pieces = [(tmp_path / name / "tokens.txt").read_bytes() for name in ("one", "two")]
    assert pieces[0] == pieces[1]


def test_sizes_the_text_does_not_allow(cuts: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at most \d+$") as error:
        main(cuts, tmp_path / "lang", vocab_size=5000)
    largest = int(str(error.value).rsplit(" ", 1)[1])
    main(cuts, tmp_path / "lang", vocab_size=largest)
    assert load_tokens(tmp_path / "lang").vocab_size == largest
    for size in (2, 10):
        with pytest.raises(ValueError, match="--vocab-size"):
            main(cuts, tmp_path / "lang", vocab_size=size)
