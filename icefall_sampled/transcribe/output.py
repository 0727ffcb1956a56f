"""Write transcripts to standard output, to one file, or to a folder with a file for each.

File names need not be UTF-8: text output has their bytes unchanged, JSON output escapes them.
"""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from icefall_sampled.errors import UserError
from icefall_sampled.files import replacing
from icefall_sampled.transcribe.captions import srt
from icefall_sampled.transcribe.sources import Source
from icefall_sampled.transcribe.transcript import Transcript

SUFFIX = {"text": ".txt", "jsonl": ".jsonl", "srt": ".srt"}


def as_bytes(transcript: Transcript, format: str, *, with_name: bool) -> bytes:
    """A transcript in a format.

    Args:
        transcript: to write.
        format: "text", a line; "jsonl", a line for each segment; or "srt".
        with_name: whether a line of text begins with the name of the file and a tab.
    """
    if format == "srt":
        return srt(transcript.words).encode("utf-8")
    name = transcript.source.name
    if format == "jsonl":
        rows = [json.dumps(part.row(name), ensure_ascii=False) for part in transcript.parts]
        return "".join(f"{row}\n" for row in rows).encode("utf-8", errors="backslashreplace")
    line = f"{name}\t{transcript.text}\n" if with_name else f"{transcript.text}\n"
    return line.encode("utf-8", errors="surrogateescape")


class Output(ABC):
    """A destination for transcripts, written one after the other."""

    def is_done(self, source: Source) -> bool:
        """Whether an earlier call has written the transcript of this source."""
        return False

    @abstractmethod
    def write(self, transcript: Transcript) -> None:
        """Write it; it is complete on disk when this returns."""


class _Stream(Output):
    def __init__(self, file: BinaryIO, name: str, format: str, *, with_name: bool) -> None:
        self._file, self._name = file, name
        self._format, self._with_name = format, with_name

    def write(self, transcript: Transcript) -> None:
        content = as_bytes(transcript, self._format, with_name=self._with_name)
        try:
            self._file.write(content)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _forget(self._file)
            raise OSError(f"cannot write to {self._name}: {error.strerror}") from error


def _forget(file: BinaryIO) -> None:
    """Discard buffered output: Python would flush it again at exit, and fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


class _Folder(Output):
    def __init__(
        self, folder: Path, sources: Sequence[Source], format: str, *, overwrite: bool
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"output is {folder}/, it must be a folder and not a file")
        folder.mkdir(parents=True, exist_ok=True)
        self._format, self._overwrite = format, overwrite
        self._paths = _paths(folder, sources, SUFFIX[format])

    def is_done(self, source: Source) -> bool:
        return not self._overwrite and self._paths[source].is_file()

    def write(self, transcript: Transcript) -> None:
        content = as_bytes(transcript, self._format, with_name=False)
        path = self._paths[transcript.source]
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise OSError(f"cannot write {path}: {error.strerror}") from error


def _paths(folder: Path, sources: Sequence[Source], suffix: str) -> dict[Source, Path]:
    """a/b.srt for a/b.wav; if there is also a/b.mp3, a/b.wav.srt and a/b.mp3.srt.

    Raises:
        UserError: if two transcripts would still have the same path.
    """
    stems = Counter(source.relative.with_suffix("") for source in sources)
    paths: dict[Source, Path] = {}
    taken: dict[Path, Source] = {}
    for source in sources:
        alone = stems[source.relative.with_suffix("")] == 1
        kept = source.relative.with_suffix("") if alone else source.relative
        path = folder / kept.with_name(kept.name + suffix)
        other = taken.setdefault(path, source)
        if other != source:
            raise UserError(
                f"output is {folder}, in which {other.name} and {source.name} would both be "
                f"{path.name}: they must have different names"
            )
        paths[source] = _beside_sound(path, [source])
    return paths


def _beside_sound(path: Path, sources: Sequence[Source]) -> Path:
    """The path; UserError if it is that of a source, which must not be overwritten."""
    for source in sources:
        sound = Path(source.name)
        if path.exists() and sound.exists() and path.samefile(sound):
            raise UserError(f"output is {path}, it must be another file than what is transcribed")
    return path


@contextmanager
def open_output(
    where: str | None,
    sources: Sequence[Source],
    *,
    format: str,
    overwrite: bool,
    with_name: bool,
) -> Iterator[Output]:
    """The output that the user asked for.

    Args:
        where: None or "-" for standard output; a folder, which exists or ends in a slash; or a
            file, which is replaced once everything is written.
        sources: all that will be transcribed.
        format: see `as_bytes`.
        overwrite: in a folder, replace existing transcripts.
        with_name: see `as_bytes`; unused for a folder, where the file's name says it.

    Raises:
        UserError: if the format and the paths do not fit together.
        OSError: if it cannot be written.
    """
    if where is not None and (where.endswith("/") or Path(where).is_dir()):
        yield _Folder(Path(where), sources, format, overwrite=overwrite)
        return
    if format == "srt" and len(sources) > 1:
        raise UserError(
            f"format is srt, of which each of {len(sources)} files needs its own: "
            "output must be a folder, or end in a slash to become one"
        )
    if where is None or where == "-":
        yield _Stream(sys.stdout.buffer, "standard output", format, with_name=with_name)
        return
    path = _beside_sound(Path(where), sources)
    if path.exists() and not path.is_file():  # such as /dev/null, or a named pipe
        with path.open("wb") as file:
            yield _Stream(file, where, format, with_name=with_name)
        return
    with replacing(path) as temporary, temporary.open("wb") as file:
        yield _Stream(file, where, format, with_name=with_name)
