"""The numbers of the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lhotse import CutSet
from lhotse.utils import fastcopy

from local.display_manifest_statistics import main
from tests.local.conftest import MakeCut


def test_table_and_file(
    make_cut: MakeCut, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make_cut("one", seconds=1.0, text="press one press")
    two = make_cut("two", seconds=3.0, text="due")
    two = fastcopy(two, supervisions=[fastcopy(two.supervisions[0], language="it")])
    CutSet.from_cuts([one, two]).to_file(tmp_path / "both.jsonl.gz")
    main((tmp_path / "both.jsonl.gz",), output=tmp_path / "statistics.json")
    rows = json.loads((tmp_path / "statistics.json").read_text())
    assert [(r["set"], r["language"], r["utterances"], r["words"]) for r in rows] == [
        ("both", "en", 1, 3),
        ("both", "it", 1, 1),
        ("both", "all", 2, 4),
    ]
    assert rows[0]["distinct_words"] == 2
    assert rows[2]["mean_seconds"] == 2.0
    assert rows[2]["longest_seconds"] == 3.0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0].split()[:3] == ["set", "language", "utterances"]


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^CUTS is .*gone, it must"):
        main((tmp_path / "gone",))
