"""The table over seeds of a recipe: a run from its training to its result, shared, killed, done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from icefall_sampled import checkpoint
from icefall_sampled.recipes.tables.collect import collect
from icefall_sampled.recipes.tables.result import read_result
from icefall_sampled.recipes.tables.table import read_table
from tests.recipes.test_asterisk_sampled_transducer import SMALL
from tests.support.corpus import write_corpus
from tests.support.recipes import ROOT, environment
from tests.support.results import TABLE, write_table

SCRIPT = ROOT / "egs/asterisk/ASR/run_table.sh"
RUN = "example_ctc-seed-7"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """run_table.sh on the corpus in a folder, in a session of its own, writing into it too."""
    train = [*SMALL, "--data.num-workers", "0", "--data.train-cuts", f"{folder}/train.jsonl.gz",
             "--data.dev-cuts", f"{folder}/dev.jsonl.gz", "--data.lang-dir",
             f"{folder}/lang"]  # fmt: skip
    command = [
        "bash", SCRIPT, "--train", " ".join(train), "--exp-root", folder / "exp",
        "--results", folder / "results", "--table", folder / "table.json", *arguments,
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        [*map(str, command)], env={**environment(), "PATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = start(folder, *arguments)
    out, said = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of beeps, as run_table.sh and decode.py look for it, and a table of one row."""
    folder = write_corpus(tmp_path_factory.mktemp("run_table"), num_train=40, num_dev=4)
    fbank = folder / "data/fbank"
    fbank.mkdir(parents=True)
    shutil.copy(folder / "dev.jsonl.gz", fbank / "asterisk_cuts_dev.jsonl.gz")
    row = {"variant": "example_ctc", "description": "ours", "classes": "9 of 12"}
    write_table(
        folder, rows=[row], baseline="example_ctc", seeds=[7], sets=["dev"], shown=["dev"],
        decodings=TABLE["decodings"][:1], figure_set="dev", comparisons=[],
        data_dir=f"{folder}/data", output=f"{folder}/RESULTS.md",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def killed(folder: Path) -> Iterator[list[str]]:
    """What a second call says while a first one trains; the first is killed then."""
    exp_dir = folder / "exp" / RUN
    first = start(folder)
    try:
        while first.poll() is None and not checkpoint.find(exp_dir):
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGSTOP)  # so that it is still at it when the second looks
        second = run(folder)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    assert second.returncode == 0, second.stderr
    assert not (folder / "results").exists()
    assert "not run" in (folder / "RESULTS.md").read_text()
    yield second.stderr.splitlines()


@pytest.fixture(scope="module")
def finished(folder: Path, killed: list[str]) -> str:
    """What the call says that comes after the killed one."""
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_call_leaves_alone_what_another_is_at(killed: list[str]) -> None:
    assert any("example_ctc, seed 7: another call is at it" in line for line in killed)
    assert not any("stage" in line for line in killed)


def test_a_killed_run_goes_on(finished: str) -> None:
    assert "continuing from" in finished
    assert finished.count("stage 1, train: finished") == 1


def test_the_result_is_what_was_measured(folder: Path, finished: str) -> None:
    exp_dir = folder / "exp" / RUN
    result = read_result(folder / f"results/{RUN}.json")
    trained = result.trained
    assert (trained.variant, trained.seed, trained.steps) == ("example_ctc", 7, 20)
    assert trained.processor_seconds is not None
    assert trained.processor_seconds > 0
    assert trained.changes.startswith("--encoder.subsampling-channels 4")
    assert trained.commit == ", ".join((exp_dir / "commits.txt").read_text().split())
    curve = result.dev_curves["cer_percent"]
    assert {step for step, _, _ in curve} <= set(range(6, 21))
    assert all(0 < seconds <= trained.processor_seconds for _, seconds, _ in curve)
    assert result.memory_mib.keys() == json.loads((exp_dir / "memory.json").read_text()).keys()
    scores = json.loads((exp_dir / "greedy/scores-greedy-avg-1.json").read_text())["dev"]
    dev = result.sets["dev"]
    errors = dev.decodings["greedy-avg-1"]
    assert dev.ids == tuple(f"dev-{i:03d}" for i in range(4))
    for unit in ("words", "characters"):
        counts = scores[unit]
        assert sum(getattr(dev, unit)) == counts["reference"]
        total = counts["substitutions"] + counts["deletions"] + counts["insertions"]
        assert sum(getattr(errors, unit)) == total
    assert result.decoded == (scores["machine"],)


def test_what_is_done_is_not_done_again(folder: Path, finished: str, tmp_path: Path) -> None:
    text, greedy = (folder / "RESULTS.md").read_text(), folder / "exp" / RUN / "greedy"
    greedy.rename(tmp_path / "greedy")  # the result alone is enough
    again = run(folder)
    (tmp_path / "greedy").rename(greedy)
    assert again.returncode == 0
    assert "stage" not in again.stderr
    done = f"{folder}/results/{RUN}.json and {folder}/exp/{RUN}"
    assert f"example_ctc, seed 7: done already (to do it again, remove {done})" in again.stderr
    assert (folder / "RESULTS.md").read_text() == text


def test_what_is_missing_for_a_result_is_named(folder: Path, finished: str, tmp_path: Path) -> None:
    table = read_table(folder / "table.json")
    exp_dir = tmp_path / "run"
    exp_dir.mkdir()
    for name, sentence in [
        ("trained.json", "trained.json is missing"),
        ("memory.json", "memory.json is missing"),
        ("step-00000020.pt", "it must have a checkpoint in it"),
        ("", "has no hyps-dev-greedy-avg-1.jsonl"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            collect(exp_dir, table=table)
        if name:
            shutil.copy(folder / "exp" / RUN / name, exp_dir)


def test_the_folder_of_a_run_that_older_code_trained(
    folder: Path, finished: str, tmp_path: Path
) -> None:
    exp_dir, table = tmp_path / RUN, read_table(folder / "table.json")
    shutil.copytree(folder / "exp" / RUN, exp_dir)
    trained = json.loads((exp_dir / "trained.json").read_text())
    trained["dev_curves"] = {"cer_percent": [[6, 90.0]]}
    (exp_dir / "trained.json").write_text(json.dumps(trained))
    (exp_dir / "commits.txt").unlink()
    assert collect(exp_dir, table=table) == read_result(folder / f"results/{RUN}.json")


def test_a_run_does_not_go_on_with_other_flags(folder: Path, finished: str, tmp_path: Path) -> None:
    changed = run(folder, "--results", str(tmp_path), "--train", "--training.max-steps 30")
    assert changed.returncode == 2
    assert f"{RUN} was begun with --train" in changed.stderr
    assert f"these runs failed: {RUN}" in changed.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_trains_nothing(folder: Path, flag: str) -> None:
    done = run(folder, flag)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: run_table.sh")
    assert done.stderr == ""


def test_a_run_that_is_killed_does_not_end_the_table() -> None:
    """A signal that asks to stop does: 130 and 143 are those of SIGINT and SIGTERM."""
    script = f". {ROOT}/shared/run_seeds.sh; stop_if_interrupted $0 || echo goes on"
    for status in (1, 2, 130, 137, 143):
        done = subprocess.run(
            ["bash", "-c", script, str(status)], capture_output=True, text=True, check=False
        )
        ends = status in (130, 143)
        assert (done.returncode, done.stdout) == ((status, "") if ends else (0, "goes on\n"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "rows: there is no 'nothing', it must be one of example_ctc"),
        (["--seeds", "1 x"], "--seeds is '1 x', it must be whole numbers above 0"),
        (["--processes", "2"], "unknown option --processes"),
        (["--results"], "--results needs a value"),
        (["-x"], "unknown option -x"),
        (["--seeds", "7 8"], "seeds: 8 is not in the table, it must be among 7"),
        (["--train", "--data.num-workers 0 --training.seed=9"], "must be without --training.seed"),
    ],
)
def test_a_wrong_call_is_one_sentence(folder: Path, arguments: list[str], sentence: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
