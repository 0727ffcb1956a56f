"""prepare.sh refuses what is wrong in one sentence."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.character_recipes import bash, recipe
from tests.support.recipes import ROOT, load


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--units", "words"], "--units is 'words', it must be syllables or characters"),
        (["--archive", "a", "--corpus-dir", "b"], "--archive and --corpus-dir are both given"),
        (["--compose-hours", "-1"], "--compose-hours is '-1'"),
        (["--corpus", "b"], "unknown option --corpus"),
        (["--corpus-dir", "/nowhere"], "/nowhere holds 0 MP3 files, it must hold 8596"),
        (["--archive", "/nowhere"], "--archive is /nowhere, it cannot be read"),
        (["--checksums", "/nowhere"], "--checksums is /nowhere, it must be like corpus.json"),
        (["--stage", "1", "--stop-stage", "1"], "none/hsk holds no MP3 files: run stage 0 first"),
    ],
)
def test_wrong_options_are_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    folders = ["--data-dir", tmp_path / "data", "--download-dir", tmp_path / "none"]
    done = bash("hsk", "prepare.sh", *folders, "--stop-stage", "0", *arguments)
    assert done.returncode == 2, done.stderr
    said = [
        line for line in done.stderr.splitlines() if not re.match(r"\d\d:\d\d:\d\d stage", line)
    ]
    assert len(said) == 1, done.stderr
    assert sentence in said[0]


def test_validation_knows_the_encoder_frame_rate_of_the_recipe() -> None:
    base = load(recipe("hsk") / "sampled_transducer/train.py").base()
    shown = bash("hsk", "prepare.sh", "--help").stdout
    assert f"4, 6 or 8 ({base.encoder.subsampling}, as in train.py)" in shown


def test_what_is_made_is_never_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for folder in ("data", "data_characters_lists", "download", "exp"):
        assert any(fnmatch(f"egs/hsk/ASR/{folder}/", pattern) for pattern in ignored)
