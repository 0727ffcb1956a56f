"""Folders of miniatures: make a new one, and hash the contents of one."""

from __future__ import annotations

import hashlib
from pathlib import Path


def new_folder(folder: Path) -> Path:
    """Make a folder that does not exist yet."""
    if folder.exists():
        raise ValueError(f"folder must not hold a {folder.name} yet, and {folder} exists.")
    folder.mkdir(parents=True)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """A hash of each file's bytes, by its path within the folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
