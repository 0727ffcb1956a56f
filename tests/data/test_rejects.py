"""Counting what had to be left out."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from icefall_sampled.data.rejects import Rejects, TooManyRejects


def test_exactly_the_limit_is_fine_and_one_more_is_not() -> None:
    rejects = Rejects(200)
    for name in ("a", "b"):
        rejects.add(name, "broken")
    rejects.check()
    rejects.add("c", "empty")
    with pytest.raises(TooManyRejects) as error:
        rejects.check()
    message = str(error.value)
    assert "3 of 200" in message
    assert "1 %" in message
    assert "a: broken; b: broken; c: empty" in message
    assert "--max-rejected-percent" in message
    assert isinstance(error.value, ValueError)


def test_an_id_counts_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    rejects = Rejects(10, 100.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            rejects.add("a", "broken")
    assert rejects.count == 1
    assert [r.getMessage() for r in caplog.records] == ["left out a: broken"]


def test_limits_at_the_edges() -> None:
    Rejects(0).check()
    everything = Rejects(2, 100.0)
    everything.add("a", "")
    everything.add("b", "")
    everything.check()
    nothing = Rejects(1000, 0.0, option="--data.max-rejected-percent")
    nothing.check()
    nothing.add("a", "x")
    with pytest.raises(TooManyRejects, match=r"--data\.max-rejected-percent"):
        nothing.check()
    for total, percent in ((-1, 1.0), (1, 101.0), (1, -1.0)):
        with pytest.raises(ValueError):
            Rejects(total, percent)


def test_written_as_json_lines(tmp_path: Path) -> None:
    rejects = Rejects(3)
    path = tmp_path / "new/rejects.jsonl"
    rejects.write(path)
    assert path.read_text() == ""
    rejects.add("ж", "a\n b")
    rejects.write(path)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {"id": "ж", "reason": "a b"}
    ]
    assert [p.name for p in path.parent.iterdir()] == ["rejects.jsonl"]
