"""Wrong command lines end in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from icefall_sampled.cli import UserError, parse_call, run_script

calls: list[tuple[tuple[Path, ...], int]] = []


def command(sources: tuple[Path, ...], /, *, num_jobs: int = 2) -> None:
    """Do something.

    Args:
        sources: what to read.
        num_jobs: processes.
    """
    if num_jobs == 0:
        raise UserError("--num-jobs is 0, it must be at least 1")
    calls.append((sources, num_jobs))


def test_calls_what_was_asked_for() -> None:
    calls.clear()
    parse_call(command, args=["a", "b", "--num-jobs", "3"])()
    assert calls == [((Path("a"), Path("b")), 3)]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--jobs", "3"], "Unrecognized options: --jobs, 3"),
        (["--num-jobs", "three"], "--num-jobs"),
        (["a", "--num-jobs", "0"], "--num-jobs is 0"),
    ],
)
def test_one_sentence_and_exit_code_2(
    args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run_script(command, args=args)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert sentence in lines[0]
    assert "│" not in lines[0]


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_script(command, args=["--help"])
    assert stop.value.code == 0
    assert "what to read" in capsys.readouterr().out
