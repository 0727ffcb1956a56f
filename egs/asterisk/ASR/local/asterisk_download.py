"""Stage 0: fetch the Asterisk core sounds and check every file against a pinned SHA-256.

For each language LL the result is

    DOWNLOAD_DIR/LL/core-sounds-LL.txt      the texts, one prompt a line
    DOWNLOAD_DIR/LL/sounds/ID.g722          the audio, raw G.722

The Asterisk project's own archives are tried first, then Debian's packages of the same release
(`apt-get download` and `dpkg-deb -x` need no root). checksums/LL.sha256 has a line for every file,
so the source of a file does not matter. Existing files with the right checksum are not fetched
again.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from asterisk_texts import split_languages

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.files import replacing

VERSION = "1.6.1"
RELEASES = "https://downloads.asterisk.org/pub/telephony/sounds/releases"
_CHECKSUMS = Path(__file__).with_name("checksums")
_NAMED_FILES = 3

Source = Callable[[str, Path], Path]
"""Fetches a language into a scratch folder, and returns the folder with the unpacked files."""

logger = logging.getLogger(__name__)


class DownloadError(UserError):
    """Something could not be fetched; the message says what, and what to do about it."""


def read_checksums(path: Path) -> dict[str, str]:
    """The SHA-256 of each file of a language, by its path; the format is sha256sum's."""
    rows = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {name.strip(): digest for digest, name in rows}


def local_path(folder: Path, name: str) -> Path:
    """The local path of a file of the checksum list."""
    return folder / "sounds" / name if name.endswith(".g722") else folder / name


def verify(folder: Path, checksums: dict[str, str]) -> tuple[list[str], list[str]]:
    """The names of the files that are missing, and of those that are corrupted."""
    missing, corrupted = [], []
    for name, digest in checksums.items():
        path = local_path(folder, name)
        if not path.is_file():
            missing.append(name)
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            corrupted.append(name)
    return missing, corrupted


def fetch_archive(language: str, scratch: Path) -> Path:
    """The project's own archive, unpacked; raises DownloadError if it cannot be reached."""
    archive = scratch / f"asterisk-core-sounds-{language}-g722-{VERSION}.tar.gz"
    quiet = ["--silent", "--fail", "--location", "--connect-timeout", "5", "--max-time", "600"]
    command = ["curl", *quiet, "--output", str(archive), f"{RELEASES}/{archive.name}"]
    if shutil.which("curl") is None or subprocess.run(command, check=False).returncode != 0:
        raise DownloadError("the project's server cannot be reached")
    unpacked = scratch / "archive"
    try:
        with tarfile.open(archive) as tar:
            # The first releases of Python 3.10 have no filter; the checksums protect these too.
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(unpacked, **safe)
    except tarfile.TarError as error:
        raise DownloadError(f"{archive.name} cannot be unpacked: {error}") from error
    return unpacked


def fetch_packages(language: str, scratch: Path) -> Path:
    """Debian's packages, unpacked; raises DownloadError if apt does not know them."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DownloadError("there is no apt-get and dpkg-deb here")
    packages = [f"asterisk-core-sounds-{language}{suffix}" for suffix in ("", "-g722")]
    command = ["apt-get", "-qq", "download", *packages]
    result = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        if os.geteuid() != 0:
            raise DownloadError("apt does not know the packages: run `apt-get update` as root")
        subprocess.run(["apt-get", "-qq", "update"], capture_output=True, check=False)
        result = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["unknown reason"])[-1]
        raise DownloadError(f"apt-get download failed: {reason}")
    unpacked = scratch / "packages"
    for package in sorted(scratch.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], check=True)
    return unpacked


SOURCES: dict[str, Source] = {
    "the Asterisk project's archive": fetch_archive,
    "the Debian packages": fetch_packages,
}


def find_files(unpacked: Path, language: str) -> tuple[Path, bytes]:
    """The folder of the sounds and the content of the texts, for the layout of any source."""
    roots = [p.parent for p in unpacked.rglob("vm-goodbye.g722")]
    texts = sorted(unpacked.rglob(f"core-sounds-{language}.txt*"))
    if not roots or not texts:
        raise DownloadError("it does not hold the files expected")
    content = texts[0].read_bytes()
    return roots[0], gzip.decompress(content) if texts[0].suffix == ".gz" else content


def install(unpacked: Path, folder: Path, language: str, names: list[str]) -> None:
    """Copy the wanted files into place, each one atomically."""
    sounds, texts = find_files(unpacked, language)
    for name in names:
        source = sounds / name
        if name.endswith(".g722") and not source.is_file():
            continue
        content = source.read_bytes() if name.endswith(".g722") else texts
        target = local_path(folder, name)
        with replacing(target) as temporary:
            temporary.write_bytes(content)


def fetch(
    language: str, folder: Path, checksums: dict[str, str], *, sources: dict[str, Source]
) -> None:
    """Fetch missing and corrupted files, until all are right or each source was tried twice.

    A source that fails is removed from `sources`: it would fail slowly for the next language too.

    Raises:
        DownloadError: if files are still wrong; the message says how each source failed.
    """
    failures = []
    for name, source in list(sources.items()) * 2:
        wanted = remove_corrupted(folder, checksums)
        if not wanted:
            return
        if name not in sources:
            continue
        try:
            with tempfile.TemporaryDirectory() as scratch:
                install(source(language, Path(scratch)), folder, language, wanted)
            logger.info("%s: %d files from %s", language, len(wanted), name)
        except DownloadError as error:
            failures.append(f"{name}: {error}")
            del sources[name]
    if wanted := remove_corrupted(folder, checksums):
        more = ", …" if len(wanted) > _NAMED_FILES else ""
        reasons = "; ".join(failures or ["they arrive corrupted, or not at all"])
        raise DownloadError(
            f"{language}: {len(wanted)} files could not be fetched "
            f"({', '.join(wanted[:_NAMED_FILES])}{more}): {reasons}"
        )


def remove_corrupted(folder: Path, checksums: dict[str, str]) -> list[str]:
    """Delete the corrupted files; return the names of these and of the missing ones."""
    missing, corrupted = verify(folder, checksums)
    for name in corrupted:
        logger.warning("%s is corrupted and was deleted", local_path(folder, name))
        local_path(folder, name).unlink()
    return missing + corrupted


def main(*, langs: str = "en", download_dir: Path = Path("download")) -> None:
    """Fetch the sounds and texts of the languages, and check each file.

    Args:
        langs: any of en es fr it ru, separated by spaces, or all.
        download_dir: folder for the files.
    """
    sources = dict(SOURCES)
    for language in split_languages(langs):
        checksums = read_checksums(_CHECKSUMS / f"{language}.sha256")
        fetch(language, download_dir / language, checksums, sources=sources)
        logger.info("%s: all %d files are there and as published", language, len(checksums))


if __name__ == "__main__":
    run_script(main)
