"""The harness: rows, resuming, what does not fit, what is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bench_loss, rows
from benchmarks.cases import Setting
from benchmarks.worker import Plan
from icefall_sampled.cli import parse_call

QUICK = Plan(budget_seconds=0.0, min_repeats=2)


def setting(method: str, *, vocab_size: int = 50, **changed: object) -> Setting:
    fields = {
        "method": method, "vocab_size": vocab_size, "num_sampled": 20, "joiner_width": 8,
        "batch": "random-0", "shapes": ((8, 3), (6, 4)), "posteriors": "random", "flush": True,
        "threads": 1, "device": "cpu", "seed": 0,
    }  # fmt: skip
    return Setting(**{**fields, **changed})  # type: ignore[arg-type]


def test_a_row_is_complete_and_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "losses.csv"
    one = setting("fused sampled")
    assert bench_loss.run_settings([one], path=path, plan=QUICK) == 1
    (row,) = rows.read(path)
    assert row["status"] == "ok" and row["repeats"] == "2" and row["warm_ups"] == "1"
    empty = {name for name in rows.COLUMNS if row[name] == ""}
    assert empty <= {"note", "peer_version", "model", "nodes_forward", "nodes_backward"}
    assert float(row["fastest_seconds"]) <= float(row["total_seconds"])
    assert float(row["total_seconds"]) <= float(row["slowest_seconds"])
    assert float(row["peak_mib"]) > 0 and float(row["loss"]) > 0
    assert (row["frames"], row["labels"], row["nodes"]) == ("8", "4", str(8 * 4 + 6 * 5))

    def never(*arguments: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(bench_loss, "measure", never)
    assert bench_loss.run_settings([one], path=path, plan=QUICK) == 0
    monkeypatch.setattr(bench_loss, "measure", lambda *_: {"status": "ok"})
    assert bench_loss.run_settings([one], path=path, plan=QUICK, again=True) == 1
    other = setting("fused sampled", flush=False)
    assert bench_loss.run_settings([one, other], path=path, plan=QUICK) == 1
    assert len(rows.read(path)) == 3
    assert [row["flush"] for row in rows.newest(rows.read(path))] == ["True", "False"]


def test_what_cannot_fit_is_a_row_and_nothing_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    huge = setting("k2 full", shapes=((100_000, 1000), (1, 1)), vocab_size=10_000, joiner_width=1)
    row = bench_loss.measure(huge, QUICK, None)
    if row["status"] == "not installed":
        pytest.skip("k2 is not here")
    rows.append(path, rows.columns_of(huge) | row)
    (row,) = rows.read(path)
    assert row["status"] == "does not fit" and "MiB that are free" in row["note"]
    assert float(row["predicted_mib"]) > 1e6 and row["total_seconds"] == ""


def test_a_single_step_is_timed_and_counted_at_once() -> None:
    row = bench_loss.measure(setting("fused full"), Plan(single=True), None)
    assert row["status"] == "ok" and (row["warm_ups"], row["repeats"]) == (0, 1)
    assert row["peak_mib"] > 0


def test_a_missing_environment_and_a_failing_worker_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "bin" / "python"
    monkeypatch.setattr(bench_loss, "interpreter", lambda method: ("nowhere", nowhere))
    row = bench_loss.measure(setting("torchaudio"), QUICK, None)
    assert row["status"] == "not installed" and row["environment"] == "nowhere"
    nowhere.parent.mkdir()
    nowhere.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    nowhere.chmod(0o755)
    row = bench_loss.measure(setting("torchaudio"), QUICK, None)
    assert row["status"] == "failed" and row["note"] == "exit status 3: broken"
    nowhere.write_text("#!/bin/sh\nkill -9 $$\n")
    assert bench_loss.measure(setting("torchaudio"), QUICK, None)["status"] == "does not fit"


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    for arguments, sentence in (
        (["--methods", "k3"], "methods must be among"),
        (["--posteriors", "trained"], "checkpoint must be a training run's folder"),
        (["--num-batches", "0"], "num_batches must be from 1"),
    ):
        quiet = ["--results", str(tmp_path / "losses.csv")]
        with pytest.raises(ValueError, match=sentence):
            parse_call(bench_loss.main, args=[*arguments, *quiet])()
    (tmp_path / "old.csv").write_text("method,seconds\n")
    with pytest.raises(ValueError, match="other columns"):
        rows.read(tmp_path / "old.csv")


def test_all_combinations_are_made_once() -> None:
    settings = bench_loss.make_settings(
        methods=["k2 full", "fused full"], vocab_sizes=[500, 2000], batches=["random", "sorted"],
        num_batches=3, posteriors=["random"], flush=["yes", "no"], batch_size=4, num_sampled=300,
        joiner_width=512, threads=1, device="cpu", seed=0,
    )  # fmt: skip
    assert len(settings) == len(set(settings)) == 2 * 2 * 2 * 3 * 2
    assert {len(s.shapes) for s in settings} == {4}
