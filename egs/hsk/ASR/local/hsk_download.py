"""Stage 0: get the recordings of the HSK words, and check that they are the published ones.

    hsk_download.py DOWNLOAD_DIR/hsk                        fetch them with git
    hsk_download.py DOWNLOAD_DIR/hsk --archive TAR          unpack them from an archive
    hsk_download.py FOLDER --check-only                     only check existing files

The recordings are one folder of the public repository audio-cmn, at the commit in corpus.json. Git
fetches that folder alone: 34 MB instead of a gigabyte. An archive may contain the folder or the
repository, compressed or not.

corpus.json pins the number of files, and the SHA-256 of the list of all files with a line
`SHA-256  name` for each, as `LC_ALL=C sha256sum *.mp3` prints it.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.files import read_json

CORPUS = Path(__file__).with_name("corpus.json")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Published:
    """The location and the checksum of the recordings."""

    repository: str
    """An address for `git fetch`."""
    commit: str
    """The full hash: servers do not accept an abbreviated one."""
    folder: str
    files: int
    sha256: str
    """SHA-256 of the list of files, see `digest`."""


def read_published(path: Path) -> Published:
    """Read a file like corpus.json.

    Raises:
        UserError: if it is not such a file.
    """
    try:
        return Published(**read_json(path))
    except (OSError, UserError, TypeError) as error:
        raise UserError(f"--checksums is {path}, it must be like corpus.json: {error}") from error


def recordings_in(folder: Path) -> list[Path]:
    """The MP3 files of a folder, by name."""
    return sorted(folder.glob("*.mp3"), key=lambda path: path.name)


def digest(folder: Path) -> str:
    """The SHA-256 of the list of a folder's MP3 files, with a line `SHA-256  name` for each."""
    lines = (
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in recordings_in(folder)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check(folder: Path, published: Published) -> None:
    """Check that a folder has the published recordings.

    Raises:
        UserError: if not; the message says what the folder has.
    """
    count = len(recordings_in(folder))
    if count != published.files:
        raise UserError(f"{folder} holds {count} MP3 files, it must hold {published.files}")
    if (found := digest(folder)) != published.sha256:
        raise UserError(
            f"{folder} does not hold the files that were published: the SHA-256 of their list "
            f"is {found}, it must be {published.sha256}"
        )


def unpack(archive: Path, folder: Path, *, wanted: str) -> None:
    """Unpack the MP3 files in a folder `wanted` of an archive.

    Raises:
        UserError: if the archive cannot be read.
    """
    parts = PurePosixPath(wanted).parts
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                # GitHub's archives have one folder on top of the repository.
                if path.suffix == ".mp3" and path.parent.parts[-len(parts) :] == parts:
                    content = tar.extractfile(member)
                    if content is not None:
                        (folder / path.name).write_bytes(content.read())
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UserError(f"--archive is {archive}, it cannot be read: {error}") from error


def fetch(published: Published, folder: Path) -> None:
    """Fetch the one folder at the one commit: git skips the files of all others.

    Raises:
        UserError: if git fails; the message has git's error, and a way to do without git.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for command in (
            ["init", "--quiet"],
            ["remote", "add", "origin", published.repository],
            ["sparse-checkout", "set", published.folder],
            ["fetch", "--quiet", "--depth", "1", "--filter=blob:none", "origin", published.commit],
            ["checkout", "--quiet", "FETCH_HEAD"],
        ):
            _git(command, Path(scratch), repository=published.repository)
        for path in recordings_in(Path(scratch) / published.folder):
            shutil.move(path, folder / path.name)


def _git(words: list[str], folder: Path, *, repository: str) -> None:
    # The right server asks for no password: git must not wait for one.
    command = ["git", "-c", "core.askPass=true", "-c", "credential.helper=", *words]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise UserError(
            f"{repository} cannot be fetched ({said.strip().splitlines()[-1]}): give the "
            "recordings by --archive or --corpus-dir"
        ) from error


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which replaces it on success."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        new.rename(folder)


def main(
    folder: Path,
    /,
    *,
    archive: Path | None = None,
    check_only: bool = False,
    checksums: Path = CORPUS,
) -> None:
    """Get the recordings, and check that they are the published ones.

    Args:
        folder: folder of the MP3 files.
        archive: tar file to take them from; without one, git fetches them.
        check_only: only check existing files.
        checksums: a file like corpus.json.
    """
    published = read_published(checksums)
    if not check_only:
        try:
            check(folder, published)
        except UserError:
            with whole_folder(folder) as new:
                if archive is not None:
                    unpack(archive, new, wanted=published.folder)
                else:
                    fetch(published, new)
                check(new, published)
    check(folder, published)
    logger.info("%s: all %d files are there and as published", folder, published.files)


if __name__ == "__main__":
    run_script(main)
