"""Files of results: back as they were written, and refused where they are no whole result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from icefall_sampled.recipes.tables.result import read_result
from tests.support.results import make_result, write_run

WORDS = (0, 3, 1)


def test_read_back(tmp_path: Path) -> None:
    path = write_run(tmp_path, "full", 1, WORDS)
    assert path.name == "full-seed-1.json"
    assert read_result(path) == make_result("full", 1, WORDS)


def test_a_file_is_small(tmp_path: Path) -> None:
    path = write_run(tmp_path, "full", 1, (1,) * 500)
    assert path.stat().st_size < 30_000


def damaged(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def test_another_format_is_said(tmp_path: Path) -> None:
    path = write_run(tmp_path, "full", 1, WORDS)
    damaged(path, format=2)
    with pytest.raises(ValueError, match=r"^format in .*full-seed-1.json is 2, it must be 1$"):
        read_result(path)


@pytest.mark.parametrize("length", [0, 20, 300])
def test_half_a_file(tmp_path: Path, length: int) -> None:
    path = write_run(tmp_path, "full", 1, WORDS)
    path.write_text(path.read_text()[:length])
    with pytest.raises(ValueError, match=r"^.*full-seed-1.json is not a whole result of a run: "):
        read_result(path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"trained": {}}, "missing"),
        ({"surprise": 1}, "no field 'surprise'"),
        ({"sets": 3}, "sets is 3"),
        ({"sets": {"test": {"ids": ["a"], "words": [1], "characters": [], "decodings": {}}}},
         "test has 0 numbers, it must have one for each of its 1 utterances"),
        ({"sets": {"test": {"ids": ["a"], "words": [-1], "characters": [1], "decodings": {}}}},
         "a count that is not a whole number of at least 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    path = write_run(tmp_path, "full", 1, WORDS)
    damaged(path, **changes)
    with pytest.raises(ValueError, match=rf"full-seed-1.json is not a whole result.*{why}"):
        read_result(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match=r"full-seed-1.json is not a whole result"):
        read_result(path)
