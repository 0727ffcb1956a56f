"""What to transcribe: files, folders, lists of files, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from icefall_sampled.errors import UserError
from icefall_sampled.transcribe.audio import Audio

STDIN = "-"

SUFFIXES = frozenset({
    ".3gp", ".aac", ".ac3", ".aif", ".aiff", ".amr", ".au", ".avi", ".caf", ".flac", ".flv",
    ".g722", ".gsm", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4",
    ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv", ".opus", ".ra", ".rm", ".snd", ".sph",
    ".spx", ".ts", ".voc", ".w64", ".wav", ".webm", ".wma", ".wmv", ".wv",
})  # fmt: skip
"""Suffixes of audio files in a folder. A file that is named itself may have any suffix."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file."""

    name: str
    """The path as the user gave it, or the given folder's path and the file's path below it."""
    relative: Path
    """Path of its transcript below an output folder, apart from the suffix."""

    def open(self) -> Audio:
        """Start to read it.

        Raises:
            Unreadable: if it has no audio.
        """
        return Audio(_seekable_or_not(sys.stdin.buffer) if self.name == STDIN else Path(self.name))

    @property
    def size(self) -> int:
        """Bytes; 0 if unknown."""
        try:
            return 0 if self.name == STDIN else Path(self.name).stat().st_size
        except OSError:
            return 0


class _Pipe:
    """A stream with `read` alone: FFmpeg must not try to seek in it."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read


def _seekable_or_not(file: BinaryIO) -> BinaryIO:
    return file if file.seekable() else _Pipe(file)  # type: ignore[return-value]


def find_sources(names: Iterable[str]) -> list[Source]:
    """The named files, each once; those in a folder, at any depth, in alphabetical order.

    Raises:
        UserError: if there is none, or standard input is named twice.
    """
    names = list(names)
    if names.count(STDIN) > 1:
        raise UserError("files name - (standard input) twice, it can be read once")
    sources = list(dict.fromkeys(source for name in names for source in _of(name)))
    if not sources:
        given = ", ".join(names) or "nothing"
        raise UserError(f"files are {given}, there must be a file of sound among or in them")
    return sources


def _of(name: str) -> Iterator[Source]:
    path = Path(name)
    if name == STDIN:
        yield Source(name=name, relative=Path("stdin"))
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                yield Source(name=str(file), relative=file.relative_to(path))
    else:
        yield Source(name=name, relative=Path(path.name))


def read_list(name: str) -> list[str]:
    """The lines of a file, or of standard input, with the line ends of any system.

    Raises:
        OSError: if the file cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise OSError(f"files_from is {name}, it cannot be read: {error.strerror}") from error
    lines = content.decode("utf-8", errors="surrogateescape").split("\n")
    return [line for line in (line.removesuffix("\r") for line in lines) if line]
