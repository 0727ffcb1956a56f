"""Readings of words, and what is left out of the manifests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hsk_manifests import main, syllables_of, word_of
from lhotse import RecordingSet, SupervisionSet

from icefall_sampled.data.rejects import TooManyRejects
from tests.replicas import hsk


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("名字", "ming2 zi4"),
        ("桌子", "zhuo1 zi5"),
        ("银行", "yin2 hang2"),
        ("行动", "xing2 dong4"),
        ("女", "nv3"),
        ("战略", "zhan4 lve4"),
    ],
)
def test_toned_syllables(word: str, syllables: str) -> None:
    assert " ".join(syllables_of(word)) == syllables


@pytest.mark.parametrize("word", ["", "ok", "卡拉ok", "大 人"])
def test_what_has_no_reading_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="has no known reading"):
        syllables_of(word)


def test_names_are_texts() -> None:
    assert word_of(Path("x/cmn-名字.mp3")) == "名字"
    assert word_of(Path("cmn-从_到_.mp3")) is None
    with pytest.raises(ValueError, match="the name must begin with cmn-"):
        word_of(Path("名字.mp3"))


def manifests(folder: Path) -> tuple[RecordingSet, SupervisionSet]:
    recordings = RecordingSet.from_file(folder / "hsk_recordings.jsonl.gz").to_eager()
    supervisions = SupervisionSet.from_file(folder / "hsk_supervisions.jsonl.gz").to_eager()
    return recordings, supervisions


@pytest.mark.parametrize("units", ["syllables", "characters"])
def test_manifests_of_words(units: str, corpus: Path, tmp_path: Path) -> None:
    main(corpus, tmp_path / "out", units=units)
    recordings, supervisions = manifests(tmp_path / "out")
    assert [s.custom["word"] for s in supervisions] == sorted(hsk.words(6))
    for supervision in supervisions:
        word = supervision.custom["word"]
        reading = " ".join(syllables_of(word))
        assert supervision.custom["syllables"] == reading
        assert supervision.text == (reading if units == "syllables" else word)
        recording = recordings[supervision.recording_id]
        assert recording.id == supervision.id == f"cmn-{word}"
        assert recording.sampling_rate == hsk.RATE
        # Two tones of 0.2 s and the margins, between silence that is left out.
        assert recording.duration == pytest.approx(1.0, abs=0.1)
        assert supervision.duration == pytest.approx(0.5, abs=0.04)
        assert supervision.start == pytest.approx(hsk.SILENCE_SECONDS - 0.05, abs=0.06)
    assert (tmp_path / "out/hsk_rejects.jsonl").read_text() == ""


def no_mp3(path: Path) -> str:
    path.write_bytes(b"ID3 and nothing else")
    return "cannot be decoded"


def empty(path: Path) -> str:
    path.write_bytes(b"")
    return "cannot be decoded"


def silent(path: Path) -> str:
    hsk.write_mp3(path, np.zeros(16000))
    return "is silent"


def misnamed(path: Path) -> str:
    path.rename(path.with_name("cmn-ok.mp3"))
    return "the word 'ok' has no known reading"


@pytest.mark.parametrize("damage", [no_mp3, empty, silent, misnamed])
def test_what_cannot_be_used_is_left_out_by_id(
    damage: Callable[[Path], str], corpus: Path, tmp_path: Path
) -> None:
    path = corpus / "cmn-天人.mp3"
    reason = damage(path)
    name = "cmn-ok" if damage is misnamed else path.stem
    with pytest.raises(TooManyRejects, match=f"1 of 7 .*{name}: {reason}"):
        main(corpus, tmp_path / "out")
    main(corpus, tmp_path / "out", max_rejected_percent=20)
    recordings, supervisions = manifests(tmp_path / "out")
    assert len(recordings) == len(supervisions) == 5
    assert path.stem not in {recording.id for recording in recordings}
    (row,) = (tmp_path / "out/hsk_rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(row)["id"] == name
    assert json.loads(row)["reason"].startswith(reason)
