"""Atomic writing of files, and reading those that a user may have damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from icefall_sampled.errors import UserError


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path in the same folder, which atomically replaces `path` on success.

        with replacing(path) as temporary:
            temporary.write_bytes(content)

    After an error, `path` is unchanged and the temporary file is deleted. The folder is created.
    The temporary name ends as `path` does, because lhotse takes the format from the suffix. Where
    `durable`, the content is on the disk before it replaces the old one: even a power failure
    leaves one of the two.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it must not hide the error of the write
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file by one with this text, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path) -> str:
    """The text of a file; raises UserError where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: it is not UTF-8 ({error})") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises UserError where it is none."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: it is not JSON ({error})") from error
