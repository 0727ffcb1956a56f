"""The command that exports: what it writes, from what, and what it refuses."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icefall_sampled.export import ExportError, load_folder, save_folder
from icefall_sampled.export.command import ExportConfig, export
from tests.support.corpus import write_tokens
from tests.support.recipes import run
from tests.support.tiny import changed, tiny_config, tiny_model

ONNX = {"encoder.onnx", "decoder.onnx", "joiner.onnx"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that was exported before: every format is to be had of it, too."""
    save_folder(tmp_path / "first", tiny_model(), lang_dir=write_tokens(tmp_path / "lang"))
    return tmp_path / "first"


def test_the_command_writes_every_format(folder: Path, tmp_path: Path) -> None:
    done = run("-m", "icefall_sampled.export", "--exp-dir", folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"config.json", "model.safetensors", "tokens.txt"} | ONNX
    load_folder(tmp_path / "out")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert len(modes) == 1, "whoever may read one of them may read all"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"max_symbols": 0}, "max_symbols is 0, it must be at least 1"),
        ({"ctc_top_k": -1}, "ctc_top_k is -1, it must be 0 or a number of classes"),
        ({"blank_skip": 0.0}, "blank_skip is 0.0, it must be above 0 and at most 1"),
        ({"avg": -1}, "avg is -1, it must be at least 0"),
        ({"format": ()}, "format is empty, it must name one at least"),
    ],
)
def test_wrong_arguments_are_named(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        export(ExportConfig(**fields))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--exp-dir", "nowhere"], "error: model is nowhere, it must be a folder"),
        (["--format", "tensorflow"], "tensorflow"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = run("-m", "icefall_sampled.export", "--out", tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_only_what_was_asked_for_is_written(folder: Path, tmp_path: Path) -> None:
    config = ExportConfig(exp_dir=folder, out=tmp_path / "out")
    export(replace(config, format=("onnx",)))
    assert {path.name for path in config.out.iterdir()} == {"tokens.txt"} | ONNX


def test_a_folder_is_not_exported_into_itself(folder: Path) -> None:
    with pytest.raises(ValueError, match="must be another folder than exp_dir"):
        export(ExportConfig(exp_dir=folder, out=folder))


def test_out_is_neither_a_file_nor_a_run(folder: Path, tmp_path: Path) -> None:
    file, training = tmp_path / "file", tmp_path / "run"
    file.touch()
    training.mkdir()
    (training / "step-00000010.pt").touch()
    with pytest.raises(ValueError, match="^out is .*file, it must be a folder$"):
        export(ExportConfig(exp_dir=folder, out=file))
    with pytest.raises(ValueError, match="^out is .*run, it must not be the folder of a training"):
        export(ExportConfig(exp_dir=folder, out=training))
    assert [path.name for path in training.iterdir()] == ["step-00000010.pt"]


@pytest.mark.parametrize("format", ["safetensors", "onnx"])
def test_a_disk_that_takes_no_more_is_one_sentence(
    format: str, folder: Path, tmp_path: Path
) -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
        "from icefall_sampled.export.__main__ import cli, main; cli.run(main)"
    )
    out = tmp_path / "out"
    done = run("-c", program, "--exp-dir", folder, "--out", out, "--format", format)
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"error: cannot write to {out}: File too large\n"
    assert not list(out.glob("*")), "nothing half written is left"


def test_constraint_and_blank_skip_need_a_ctc_head(tmp_path: Path) -> None:
    config = changed(tiny_config(), ctc={"joint_weight": 0.0}, sampling={"distribution": "uniform"})
    lang = write_tokens(tmp_path / "lang")
    save_folder(tmp_path / "first", tiny_model(config), lang_dir=lang)
    wanted = ExportConfig(exp_dir=tmp_path / "first", out=tmp_path / "out", format=("onnx",))
    for refused in (replace(wanted, ctc_top_k=5), replace(wanted, blank_skip=0.9)):
        with pytest.raises(ExportError, match="need a CTC head"):
            export(refused)
    export(wanted)
