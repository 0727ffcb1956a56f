"""Old or new, never half; and what is damaged is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from icefall_sampled.errors import UserError
from icefall_sampled.files import read_json, read_text, replacing, write_text


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new/a.txt"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            temporary.write_text(text)
            assert text == "first" or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("durable", [False, True])
def test_the_suffix_tells_the_format_before_the_name_is_there(
    tmp_path: Path, durable: bool
) -> None:
    path = tmp_path / "cuts.jsonl.gz"
    with replacing(path, durable=durable) as temporary:
        assert temporary.name.endswith(".cuts.jsonl.gz")
        temporary.write_bytes(b"all")
    assert path.read_bytes() == b"all"


def test_what_is_written_is_read_and_what_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, '{"é": 1}')
    assert read_json(path) == {"é": 1}
    path.write_bytes("\ufeffé".encode())  # Windows's editors begin a file so
    assert read_text(path) == "é"
    with pytest.raises(UserError, match=r"a\.json is damaged: it is not JSON \(Expecting"):
        read_json(path)
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"a\.json is damaged: it is not UTF-8 \("):
        read_json(path)


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
