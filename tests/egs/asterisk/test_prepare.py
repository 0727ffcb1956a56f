"""prepare.sh and the shell it shares with other recipes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
from lhotse import RecordingSet

from tests.support.recipes import asterisk_train

ROOT = Path(__file__).resolve().parents[3]
PREPARE = ROOT / "egs/asterisk/ASR/prepare.sh"


def bash(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_from_another_folder(tmp_path: Path) -> None:
    result = bash(str(PREPARE), "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "--max-rejected-percent" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--lang", "en"], "unknown option --lang"),
        (["--lang=en"], "unknown option --lang"),
        (["en"], "unexpected argument 'en'"),
        (["--hours"], "--hours needs a value"),
        (["--hours", "0"], "--hours is '0'"),
        (["--stage", "two"], "--stage is 'two'"),
        (["--stage", "08"], "--stage is 8, it must be at most --stop-stage, 0"),
        (["--vocab-size", "256 x"], "--vocab-size is '256 x'"),
        (["--vocab-size", "0"], "--vocab-size is '0'"),
        (["--subsampling", "5"], "--subsampling is '5'"),
        (["--langs", "xx"], "--langs is xx"),
        (["--path", "/"], "unknown option --path"),
    ],
)
def test_wrong_options_are_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    data = ["--data-dir", str(tmp_path / "data"), "--stop-stage", "0"]
    result = bash(str(PREPARE), *data, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_stage_without_its_input_says_what_to_run(tmp_path: Path) -> None:
    folders = ["--data-dir", str(tmp_path / "data"), "--download-dir", str(tmp_path / "none")]
    for stage, sentence in (("1", "run stage 0"), ("2", "run stage 1"), ("3", "IN_CUTS is")):
        result = bash(str(PREPARE), *folders, "--stage", stage, "--stop-stage", stage, cwd=tmp_path)
        assert result.returncode == 2, result.stderr
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr


def test_validation_knows_the_encoder_frame_rate_of_the_recipe() -> None:
    factor = asterisk_train().base().encoder.subsampling
    shown = bash(str(PREPARE), "--help", cwd=PREPARE.parent).stdout
    assert f"4, 6 or 8 ({factor}, as in train.py)" in shown


STAGES = """
set -euo pipefail
. "$1/shared/log.sh"
. "$1/shared/parse_options.sh"
. "$1/shared/stages.sh"
help_text=help stage=0 stop_stage=5 size=1 fail=no done_dir=done
options="stage stop_stage size fail"
parse_options "${@:2}"
need_whole stage stop_stage
make() {
  echo "$1" >>calls
  [[ $fail != "$1" ]] || exit 7
  echo "$2" >"$1.out"
}
run_stage 1 first 1 first.out -- make first 1
run_stage 2 second "$size $(fingerprint first.out)" second.out -- make second "$size"
"""


def run_stages(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code, and which stages ran."""
    script = folder / "stages.sh"
    script.write_text(STAGES)
    calls = folder / "calls"
    calls.write_text("")
    result = bash(str(script), str(ROOT), *arguments, cwd=folder)
    return result.returncode, calls.read_text().split()


def test_stages_run_once_and_again_when_options_change(tmp_path: Path) -> None:
    assert run_stages(tmp_path) == (0, ["first", "second"])
    assert run_stages(tmp_path) == (0, [])
    assert run_stages(tmp_path, "--size", "2") == (0, ["second"])
    assert run_stages(tmp_path, "--size=2", "--stop-stage", "1") == (0, [])
    (tmp_path / "second.out").unlink()
    assert run_stages(tmp_path, "--size", "2", "--stage", "2") == (0, ["second"])
    (tmp_path / "first.out").write_text("changed by hand")
    assert run_stages(tmp_path, "--size", "2") == (0, ["second"])


def test_a_stage_that_makes_nothing_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "stages.sh").write_text(STAGES + "run_stage 3 third 1 third.out -- true\n")
    for _ in range(2):
        result = bash("stages.sh", str(ROOT), cwd=tmp_path)
        assert result.returncode == 2
        assert "stage 3, third, ended without third.out" in result.stderr


def test_leading_zeros_are_no_octal_numbers(tmp_path: Path) -> None:
    assert run_stages(tmp_path, "--stage", "02", "--stop-stage=08") == (0, ["second"])


def test_old_bash_is_refused_in_one_sentence(tmp_path: Path) -> None:
    script = '. "$1/shared/log.sh"; need_bash 4 4; need_bash 5 0; need_bash 3 2'
    result = bash("-c", script, "recipe.sh", str(ROOT), cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("recipe.sh: bash 4.4 or newer is needed, this is 3.2")
    assert len(result.stderr.splitlines()) == 1


def test_prompt_mended_after_it_was_left_out_comes_back(
    tmp_path: Path, g722: Callable[..., None]
) -> None:
    sounds = tmp_path / "download/en/sounds"
    for name in ("hello", "goodbye"):
        g722(sounds / f"{name}.g722")
    (tmp_path / "download/en/core-sounds-en.txt").write_text("hello: Hello\ngoodbye: Goodbye\n")
    (sounds / "hello.g722").write_bytes(b"")
    command = [str(PREPARE), "--stage", "1", "--stop-stage", "1", "--max-rejected-percent", "100"]
    command += ["--data-dir", str(tmp_path / "data")]
    command += ["--download-dir", str(tmp_path / "download")]
    path = tmp_path / "data/manifests/asterisk_recordings_en.jsonl.gz"

    def made() -> set[str]:
        result = bash(*command, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return {recording.id for recording in RecordingSet.from_file(path)}

    assert made() == {"en-goodbye"}
    g722(sounds / "hello.g722")
    assert made() == {"en-goodbye", "en-hello"}


@pytest.mark.parametrize(
    ("langs", "folder"), [("en", "data"), ("fr en", "data_en_fr"), ("all", "data_all")]
)
def test_other_languages_are_other_data(langs: str, folder: str, tmp_path: Path) -> None:
    """In a copy of the recipe, whose relative folders are its own."""
    recipe = tmp_path / "egs/asterisk/ASR"
    shutil.copytree(PREPARE.parent / "local", recipe / "local")
    shutil.copy(PREPARE, recipe)
    shutil.copytree(ROOT / "shared", tmp_path / "shared")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    result = subprocess.run(
        ["bash", str(recipe / "prepare.sh"), "--langs", langs, "--stage", "2", "--stop-stage", "2"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert f"{folder}/manifests/asterisk_recordings_en" in result.stderr
    assert [path.name for path in recipe.glob("data*")] == [folder]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert any(fnmatch(f"egs/asterisk/ASR/{folder}/", pattern) for pattern in ignored)


def test_interrupted_stage_is_done_again(tmp_path: Path) -> None:
    assert run_stages(tmp_path, "--fail", "second") == (7, ["first", "second"])
    assert run_stages(tmp_path) == (0, ["second"])
    # An old marker must not outlive a redo that was interrupted.
    assert run_stages(tmp_path, "--size", "2", "--fail", "second") == (7, ["second"])
    assert run_stages(tmp_path) == (0, ["second"])
