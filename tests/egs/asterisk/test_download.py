"""Files are fetched, checked, and fetched again; from local folders in the network's place."""

from __future__ import annotations

import gzip
import hashlib
import logging
from pathlib import Path

import pytest
from asterisk_download import DownloadError, Source, fetch, local_path, read_checksums

FILES = {"vm-goodbye.g722": b"one", "digits/1.g722": b"two", "core-sounds-en.txt": b"a: b\n"}
CHECKSUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def source(files: dict[str, bytes], calls: list[str] | None = None) -> Source:
    """What unpacks these files the way the Debian packages do."""

    def unpack(language: str, scratch: Path) -> Path:
        if calls is not None:
            calls.append(language)
        for name, content in files.items():
            is_sound = name.endswith(".g722")
            path = scratch / ("sounds/en_US" if is_sound else "doc") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if not is_sound:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
                path.unlink()
        return scratch

    return unpack


def unreachable(language: str, scratch: Path) -> Path:
    raise DownloadError("no such host")


def test_second_source_and_only_what_is_missing(tmp_path: Path) -> None:
    sources = {"archive": unreachable, "packages": source(FILES)}
    fetch("en", tmp_path, CHECKSUMS, sources=sources)
    assert {name: local_path(tmp_path, name).read_bytes() for name in FILES} == FILES
    assert list(sources) == ["packages"], "a source that failed is not asked for the next language"
    calls: list[str] = []
    fetch("en", tmp_path, CHECKSUMS, sources={"packages": source(FILES, calls)})
    assert calls == []


def test_corrupted_file_is_named_deleted_and_fetched_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch("en", tmp_path, CHECKSUMS, sources={"packages": source(FILES)})
    bad = local_path(tmp_path, "digits/1.g722")
    bad.write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        fetch("en", tmp_path, CHECKSUMS, sources={"packages": source(FILES)})
    assert str(bad) in caplog.text
    assert bad.read_bytes() == FILES["digits/1.g722"]


def test_still_corrupted_is_an_error_after_a_second_attempt(tmp_path: Path) -> None:
    calls: list[str] = []
    wrong = source({**FILES, "digits/1.g722": b"other"}, calls)
    with pytest.raises(DownloadError, match=r"en: 1 files .*digits/1\.g722"):
        fetch("en", tmp_path, CHECKSUMS, sources={"packages": wrong})
    assert calls == ["en", "en"]
    assert not local_path(tmp_path, "digits/1.g722").exists()


def test_all_sources_failing_says_how(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="archive: no such host"):
        fetch("en", tmp_path, CHECKSUMS, sources={"archive": unreachable})


def test_checksum_lists_cover_texts_and_audio() -> None:
    folder = Path(__file__).resolve().parents[3] / "egs/asterisk/ASR/local/checksums"
    for language in ("en", "es", "fr", "it", "ru"):
        checksums = read_checksums(folder / f"{language}.sha256")
        assert f"core-sounds-{language}.txt" in checksums
        assert len(checksums) > 500
        assert all(len(digest) == 64 for digest in checksums.values())
