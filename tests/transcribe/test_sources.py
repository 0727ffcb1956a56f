"""Lists of files, whichever system wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest

from icefall_sampled.transcribe.sources import read_list


def test_a_list_may_end_its_lines_as_windows_does(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a b.wav\r\n\r\n\xff.wav\nc.wav")
    assert read_list(str(tmp_path / "list")) == ["a b.wav", "\udcff.wav", "c.wav"]


def test_a_list_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="^files_from is nowhere, it cannot be read: No such file"):
        read_list("nowhere")
