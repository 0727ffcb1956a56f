"""The table of results: from files to Markdown, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from icefall_sampled import checkpoint
from icefall_sampled.config import Config, to_json
from tests.support.character_recipes import recipe

HSK = recipe("hsk")
SCRIPT = Path(__file__).resolve().parents[2] / "local/show_results.py"


def make_run(exp_dir: Path, **more: object) -> None:
    state = {"model": {}, "config": to_json(Config()), "vocab_size": 500, "step": 7,
             "factories": {}}  # fmt: skip
    checkpoint.save(checkpoint.path_of(exp_dir, 7), state)
    errors = {"substitutions": 1, "deletions": 2, "insertions": 0, "reference": 12}
    score = {"words": errors, "characters": {**errors, "reference": 48}, "real_time_factor": 0.25}
    score |= more
    (exp_dir / "greedy").mkdir()
    (exp_dir / "greedy/scores-greedy-avg-1.json").write_text(json.dumps({"test": score}))
    (exp_dir / "memory.json").write_text(json.dumps({"full, stored": 10.0, "sampled, fused": 2.5}))
    with SummaryWriter(str(exp_dir / "tensorboard")) as board:
        board.add_scalar("dev/wer_percent", 12.5, 7)


def show(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


def test_table_and_file(tmp_path: Path) -> None:
    make_run(tmp_path / "example_ctc")
    header, output = tmp_path / "header.md", tmp_path / "RESULTS.md"
    header.write_text("# Results\n")
    shown = show(
        str(tmp_path / "example_ctc"), "--header", str(header), "--output", str(output)
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    row = next(line for line in shown.stdout.splitlines() if line.startswith("| example_ctc"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == ["300 of 500", "test", "greedy-avg-1", "25.00"]
    assert cells[5:] == ["6.25", "0.250", "10.0", "2.5"]
    assert "greedy WER % on dev by step: 7: 12.5." in shown.stdout
    assert output.read_text() == "# Results\n\n" + shown.stdout


def test_a_recipe_names_its_measures(tmp_path: Path) -> None:
    exp_dir = tmp_path / "pruned"
    make_run(
        exp_dir, utterances={"substitutions": 1, "deletions": 0, "insertions": 0, "reference": 4}
    )
    make_run(tmp_path / "old")  # whose utterances were not counted
    (exp_dir / "memory.json").write_text(json.dumps({"full, pruned": 5.0}))
    shown = show(str(exp_dir), str(tmp_path / "old"), "--measures", str(HSK / "local/table.json"))
    header, _, new, old = (
        [cell.strip() for cell in line.strip("|").split("|")][4:]
        for line in shown.stdout.splitlines()[:4]
    )
    assert header == [
        "words wrong %", "syllable error %", "real-time factor",
        "step MiB: full, stored", "step MiB: full, pruned", "step MiB: sampled, fused",
    ]  # fmt: skip
    assert new == ["25.00", "25.00", "0.250", "-", "5.0", "-"]
    assert old == ["-", "25.00", "0.250", "10.0", "-", "2.5"]
    assert "pruned, greedy syllable error % on dev by step: 7: 12.5." in shown.stdout


def test_the_machine_is_that_of_decoding(tmp_path: Path) -> None:
    for name, where in (("one", "Commit a."), ("two", "Commit b."), ("three", "Commit b.")):
        make_run(tmp_path / name, machine=where)
    make_run(tmp_path / "old")
    alone = show(str(tmp_path / "two"), str(tmp_path / "three"))
    assert alone.stdout.endswith("\n\nDecoded by: Commit b.\n")
    together = show(*(str(tmp_path / name) for name in ("one", "two", "three", "old")))
    assert together.stdout.splitlines()[-3:] == [
        "- one decoded by: Commit a.",
        "- two, three decoded by: Commit b.",
        "- old decoded by: Commit and machine unknown.",
    ]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    for number, name in enumerate(("memory.json", "greedy/scores-greedy-avg-1.json")):
        make_run(tmp_path / str(number))
        damaged = tmp_path / str(number) / name
        damaged.write_text('{"half": ')
        shown = show(str(tmp_path / str(number)))
        assert shown.returncode == 2
        assert shown.stderr.startswith(f"error: {damaged} is damaged: it is not JSON (")
        assert shown.stderr.count("\n") == 1


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    for arguments in ((), (str(tmp_path),)):
        shown = show(*arguments)
        assert shown.returncode == 2
        assert shown.stderr.startswith("error: ")
        assert shown.stderr.count("\n") == 1
