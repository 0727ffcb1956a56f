"""prepare.sh and the shell it shares with other recipes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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
        (["--vocab-size", "256 x"], "'x'"),
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
    for stage, sentence in (("1", "run stage 0"), ("2", "run stage 1"), ("3", "is not there")):
        result = bash(str(PREPARE), *folders, "--stage", stage, "--stop-stage", stage, cwd=tmp_path)
        assert result.returncode == 2, result.stderr
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr


STAGES = """
set -euo pipefail
. "$1/shared/log.sh"
. "$1/shared/parse_options.sh"
. "$1/shared/stages.sh"
help_text=help stage=0 stop_stage=5 size=1 fail=no done_dir=done
options="stage stop_stage size fail"
parse_options "${@:2}"
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


def test_interrupted_stage_is_done_again(tmp_path: Path) -> None:
    assert run_stages(tmp_path, "--fail", "second") == (7, ["first", "second"])
    assert run_stages(tmp_path) == (0, ["second"])
    # An old marker must not outlive a redo that was interrupted.
    assert run_stages(tmp_path, "--size", "2", "--fail", "second") == (7, ["second"])
    assert run_stages(tmp_path) == (0, ["second"])
