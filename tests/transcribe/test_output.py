"""Where transcripts go: never over the sound that they are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from icefall_sampled.transcribe.output import open_output
from icefall_sampled.transcribe.sources import find_sources


def refusal(where: str, sound: Path) -> str:
    """What is said of this output, before anything is written."""
    with (
        pytest.raises(ValueError, match="^output is ") as caught,
        open_output(
            where, find_sources([str(sound)]), format="text", overwrite=True, with_name=False
        ),
    ):
        pass
    return str(caught.value)


@pytest.mark.parametrize("where", ["sound.txt", "./sound.txt", "link", ".", "new/../"])
def test_a_transcript_does_not_replace_the_sound(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = tmp_path / "sound.txt"  # a file named by itself is read whatever its name
    sound.write_bytes(b"sound")
    (tmp_path / "link").symlink_to(sound)
    (tmp_path / "new").mkdir()
    assert refusal(where, sound).endswith("it must be another file than what is transcribed")
    assert sound.read_bytes() == b"sound"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    sound, other = tmp_path / "a.wav", tmp_path / "other"
    sound.touch()
    other.touch()
    assert refusal(f"{other}/", sound) == f"output is {other}/, it must be a folder and not a file"
