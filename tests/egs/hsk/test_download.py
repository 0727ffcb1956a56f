"""The recordings from an archive, from a repository, or from where they are, and checked."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hsk_download import CORPUS, Published, check, fetch, main, read_published, unpack

from tests.replicas import hsk
from tests.replicas.folders import digests


def archive_of(corpus: Path, *, around: str = "", mode: str = "w") -> Path:
    path = corpus.with_name("archive.tar")
    with tarfile.open(path, mode) as tar:
        tar.add(corpus, f"{around}24k-abr/hsk")
        tar.add(corpus.with_name("corpus.json"), f"{around}24k-abr/other/cmn-大.mp3")
    return path


@pytest.mark.parametrize(("around", "mode"), [("", "w"), ("audio-cmn-ff9ed3d0/", "w:gz")])
def test_from_an_archive_once(around: str, mode: str, corpus: Path, tmp_path: Path) -> None:
    archive = archive_of(corpus, around=around, mode=mode)
    checksums = corpus.with_name("corpus.json")
    folder = tmp_path / "download/hsk"
    main(folder, archive=archive, checksums=checksums)
    assert digests(folder) == digests(corpus)
    archive.unlink()
    main(folder, archive=archive, checksums=checksums)  # it is not needed again
    assert [path.name for path in folder.parent.iterdir()] == ["hsk"]


def test_a_damaged_folder_is_replaced_as_a_whole(corpus: Path, tmp_path: Path) -> None:
    archive, folder = archive_of(corpus), tmp_path / "download/hsk"
    folder.mkdir(parents=True)
    (folder / "cmn-大.mp3").write_bytes(b"broken")
    main(folder, archive=archive, checksums=corpus.with_name("corpus.json"))
    assert digests(folder) == digests(corpus)


def test_what_is_not_as_published_is_refused_and_not_kept(corpus: Path, tmp_path: Path) -> None:
    checksums = corpus.with_name("corpus.json")
    path = min(corpus.glob("*.mp3"))
    path.write_bytes(path.read_bytes() + b"x")
    folder = tmp_path / "download/hsk"
    with pytest.raises(ValueError, match="the SHA-256 of their list is [0-9a-f]{64}, it must be"):
        main(folder, archive=archive_of(corpus), checksums=checksums)
    assert not folder.exists()
    path.unlink()
    with pytest.raises(ValueError, match="holds 6 MP3 files, it must hold 7"):
        main(corpus, check_only=True, checksums=checksums)
    assert len(digests(corpus)) == 6


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"\x1f\x8b\x08\x00cut short"])
def test_an_archive_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    if content is not None:
        archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"--archive is .*archive\.tar, it cannot be read: "):
        unpack(archive, tmp_path, wanted="24k-abr/hsk")


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@n", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(corpus: Path) -> Published:
    """A repository with the recordings in an older commit, and with other files."""
    folder = corpus.with_name("repository")
    (folder / "24k-abr").mkdir(parents=True)
    git(folder, "init", "--quiet")
    git(folder, "config", "uploadpack.allowFilter", "true")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    corpus.rename(folder / "24k-abr/hsk")
    (folder / "96k").mkdir()
    (folder / "96k/large.mp3").write_bytes(b"large")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "all")
    commit = git(folder, "rev-parse", "HEAD")
    git(folder, "rm", "-r", "--quiet", "24k-abr")
    git(folder, "commit", "--quiet", "-m", "none")
    published = read_published(corpus.with_name("corpus.json"))
    return replace(published, repository=folder.as_uri(), commit=commit)


def test_git_fetches_the_one_folder(repository: Published, tmp_path: Path) -> None:
    folder = tmp_path / "fetched"
    folder.mkdir()
    fetch(repository, folder)
    check(folder, repository)
    assert len(digests(folder)) == repository.files


def test_a_repository_out_of_reach_is_one_sentence(repository: Published, tmp_path: Path) -> None:
    for other in (
        replace(repository, repository=(tmp_path / "none").as_uri()),
        replace(repository, commit="0" * 40),
    ):
        with pytest.raises(ValueError, match="cannot be fetched .*--archive or --corpus-dir$"):
            fetch(other, tmp_path)


def test_the_corpus_is_pinned() -> None:
    published = read_published(CORPUS)
    assert published.files == 8596
    assert len(published.sha256) == 64
    assert len(published.commit) == 40


@pytest.mark.parametrize("content", [None, "", "[]", json.dumps({"files": 3})])
def test_a_list_that_is_none_is_named(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"--checksums is .*list\.json, it must be like corpus"):
        read_published(path)


def test_the_replica_is_described_as_the_recipe_counts(corpus: Path) -> None:
    check(corpus, read_published(hsk.describe(corpus)))
