"""Old or new, never half."""

from __future__ import annotations

from pathlib import Path

import pytest

from icefall_sampled.files import replacing


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new/a.txt"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            temporary.write_text(text)
            assert text == "first" or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    for written in (True, False):
        with pytest.raises(OSError, match="full"), replacing(path) as temporary:
            if written:
                temporary.write_text("ha")
            raise OSError("full")
        assert list(tmp_path.iterdir()) == [path]
        assert path.read_text() == "old"
