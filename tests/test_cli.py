"""Exit codes, and configs from command lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icefall_sampled import cli
from icefall_sampled.config import Config
from icefall_sampled.decoding.decode import DecodeConfig
from icefall_sampled.errors import MissingPackage, UserError
from tests.support.recipes import environment
from tests.support.tiny import changed, tiny_config

VARIANTS = {
    "full": changed(tiny_config(), sampling={"strategy": "none"}),
    "example_ctc": tiny_config(),
}


def choose(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Config:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    return cli.choose_variant(VARIANTS, base=tiny_config(), description="Train.")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, 0, ""),
        (UserError("data.x is 1, it must be 2"), 2, "error: data.x is 1, it must be 2\n"),
        (OSError(28, "No space left"), 2, "error: [Errno 28] No space left\n"),
        (MissingPackage("fast_beam needs k2"), 2, "error: fast_beam needs k2\n"),
        (ModuleNotFoundError("no distributed", name="distributed"), 2, "error: no distributed\n"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on from what is saved\n"),
    ],
)
def test_exit_codes(
    capsys: pytest.CaptureFixture[str], error: BaseException | None, code: int, said: str
) -> None:
    def main() -> None:
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as caught:
        cli.run(main)
    assert caught.value.code == code
    assert capsys.readouterr().err == said


PROGRAMS = {
    "doctor": ["-m", "icefall_sampled.doctor"],
    "cli": ["-c", "from icefall_sampled import cli; cli.run(lambda: print('x\\n' * 10**6))"],
    "flushed at the end": ["-c", "from icefall_sampled import cli; cli.run(lambda: print('x'))"],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_who_has_read_enough_is_told_nothing(name: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, *PROGRAMS[name]], stdout=writing, stderr=subprocess.PIPE, text=True,
        env=environment(), check=False,
    )  # fmt: skip
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (141, -signal.SIGPIPE)


@pytest.mark.parametrize(
    "error",
    [
        AssertionError(),
        ValueError("cannot reshape"),
        ImportError("circular"),
        ModuleNotFoundError("no cils", name="icefall_sampled.cils"),
    ],
)
def test_our_own_mistakes_keep_their_traceback(error: Exception) -> None:
    def wrong() -> None:
        raise error

    with pytest.raises(type(error)):
        cli.run(wrong)


BROKEN_PROGRAM = """
import numpy
from icefall_sampled.cli import run_script
from local import display_manifest_statistics as program

def broken(path):
    return numpy.arange(6).reshape(4, 4)

program.measure = broken
run_script(program.main, args=["cuts.jsonl.gz"])
"""


def test_a_value_error_of_a_package_names_its_place(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(BROKEN_PROGRAM)
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 1
    assert f'File "{program}", line 7, in broken' in done.stderr
    assert done.stderr.endswith("ValueError: cannot reshape array of size 6 into shape (4,4)\n")


def test_the_traceback_of_a_sentence_is_there_for_who_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def users() -> None:
        raise UserError("said")

    monkeypatch.setenv("ICEFALL_SAMPLED_TRACEBACK", "1")
    with pytest.raises(UserError, match="said"):
        cli.run(users)


def test_a_variant_and_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, "full") == VARIANTS["full"]
    config = choose(
        monkeypatch, "example_ctc", "--exp-dir", "elsewhere", "--sampling.num-sampled", "7",
        "--ctc.intermediate-layers", "1", "--optimizer.betas", "0.5", "0.6",
        "--data.no-speed-perturbed",
    )  # fmt: skip
    expected = changed(
        VARIANTS["example_ctc"],
        sampling={"num_sampled": 7},
        ctc={"intermediate_layers": (1,)},
        optimizer={"betas": (0.5, 0.6)},
        data={"speed_perturbed": False},
    )
    assert config == Config(**{**vars(expected), "exp_dir": Path("elsewhere")})


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("none",),
        ("full", "--sampling.num-samples", "3"),
        ("full", "--sampling.num-sampled", "three"),
        ("full", "--sampling.strategy", "some"),
        ("full", "--exp-dir"),
        ("full", "--encoder.subsampling", "5"),
    ],
)
def test_wrong_arguments_exit_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda: print(choose(monkeypatch, *arguments)))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    for word in arguments[1:2]:
        assert word.removeprefix("--") in said


@pytest.mark.parametrize(
    ("name", "known"),
    [("none", "full, example_ctc"), ("exmple_ctc", "example_ctc, full"), ("ful", "full, example")],
)
def test_a_variant_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str, known: str
) -> None:
    for more in ((), ("--help",), ("--exp-dir", "x")):
        with pytest.raises(ValueError, match=f"^there is no variant '{name}', .* one of {known}"):
            choose(monkeypatch, name, *more)


def test_help_tells_variants_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        choose(monkeypatch, "--help")
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "sampling.strategy none" in said
    assert "the default" in said


def test_decoding_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--sets", "dev", "test", "--ctc-top-k", "5", "--lang-dir", "lang"]
    monkeypatch.setattr(sys, "argv", ["decode.py", *arguments])
    assert cli.parse(DecodeConfig(avg=3), description="Decode.") == DecodeConfig(
        avg=3, sets=("dev", "test"), ctc_top_k=5, lang_dir=Path("lang")
    )
