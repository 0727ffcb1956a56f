"""Tables and figures from a few made-up rows."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_lattice, findings, profile_loss, report, tables
from benchmarks import rows as rows_file
from benchmarks.growth import METHODS, SWEEPS, fit, make_settings
from icefall_sampled.losses import lattice

MARKERS = "before\n<!-- benchmark: begin -->\nold\n<!-- benchmark: end -->\nafter\n"


def row(method: str, seconds: float, mib: float, **changed: Any) -> rows_file.Row:
    fields: dict[str, Any] = dict.fromkeys(rows_file.COLUMNS, "") | {
        "method": method, "vocab_size": 2000, "num_sampled": 300, "batch": "random-0",
        "posteriors": "random", "flush": True, "batch_size": 4, "frames": 300, "labels": 60,
        "nodes": 1000, "status": "ok", "loss": 100.0, "total_seconds": seconds, "peak_mib": mib,
        "machine": "a machine", "device": "cpu", "cpu_seconds": seconds,
        "commit": "abc", "dirty": False, "torch": "1.13.1",
    }  # fmt: skip
    fields |= {"seconds": seconds, **changed}  # as `rows.read` adds them
    return {name: str(value) for name, value in fields.items()}


def as_written(made: rows_file.Row) -> rows_file.Row:
    return {name: made[name] for name in rows_file.COLUMNS}


def rows() -> list[rows_file.Row]:
    sources = ("random", "trained")
    batches = ("random-0", "sorted-0")
    made = []
    for source, batch in itertools.product(sources, batches):
        same = {"posteriors": source, "batch": batch}
        made += [
            row("k2 full", 8.0, 1000.0, **same),
            row("k2 pruned", 2.0, 200.0, loss=140.0, **same),
            row("fused full", 3.0, 5.0, **same, nodes_forward=1000, nodes_backward=250),
            row("fused sampled", 0.5, 5.0, loss=90.0, **same),
            row("fused sampled", 0.6, 5.0, loss=90.0, flush=False, **same),
            row("fused sampled + draft", 0.3, 5.0, loss=91.0, **same),
        ]
    for vocab, mib in ((500, 5.0), (32768, 5.1)):
        made.append(row("fused sampled", 0.5, mib, vocab_size=vocab, loss=80.0 + vocab))
    misfit = {"status": "does not fit", "predicted_mib": 70000.0, "loss": ""}
    made.append(row("k2 full", 0, 0, vocab_size=32768, **misfit))
    return made


def growth_rows() -> list[rows_file.Row]:
    made = []
    for setting in make_settings(joiner_width=512, threads=1, device="cpu", seed=0):
        (t, u), size = setting.shapes[0], len(setting.shapes)
        cost = t * u**0.5 * size * setting.vocab_size / 1e7
        made.append(
            row(setting.method, cost, 7.0, batch=setting.batch, posteriors=setting.posteriors,
                frames=t, labels=u, batch_size=size, vocab_size=setting.vocab_size,
                num_sampled=setting.num_sampled)
        )  # fmt: skip
    return made


def test_a_power_law_is_recovered() -> None:
    found = fit([1, 2, 4, 8], [3 * x**1.5 for x in (1, 2, 4, 8)])
    assert found.exponent == pytest.approx(1.5) and found.spread == pytest.approx(0, abs=1e-6)
    noisy = fit([1, 2, 4, 8], [1.0, 2.2, 3.8, 8.4])
    assert 0.9 < noisy.exponent < 1.1 and noisy.spread > 0
    with pytest.raises(ValueError, match="three positive points"):
        fit([1, 2], [1, 2])


def test_each_sweep_has_four_points_or_more_in_steps_of_equal_ratio() -> None:
    for values in SWEEPS.values():
        assert len(values) >= 4
        assert {b / a for a, b in itertools.pairwise(values)} == {2.0}
    settings = make_settings(joiner_width=512, threads=1, device="cpu", seed=0)
    assert {s.method for s in settings} == set(METHODS)


def test_the_growth_table_has_the_exponents() -> None:
    text = findings.growth(growth_rows())
    assert "| fused full            | random     | T | 200–1600 | 1.00 ± 0.00 | 1" in text
    assert "| fused full            | random     | U | 8–64     | 0.50 ± 0.00 | 1" in text


def test_goals_say_what_is_reached() -> None:
    lines = findings.goals(rows()).splitlines()
    text = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:5]] for line in lines}
    assert text["time: fused sampled by k2 pruned, random"] == ["1/2.0", "1/4.0", "yes"]
    assert text["time: fused full by k2 pruned, trained"] == ["1.00", "1.50", "no"]
    assert text["peak memory: fused sampled by k2 pruned, random"] == ["1/20.0", "1/40.0", "yes"]
    name = "peak memory: fused sampled, V = 32768 by V = 500, random"
    assert text[name] == ["0.95 to 1.05", "1.020", "yes"]


def test_a_goal_is_reached_on_every_batch_or_not_at_all() -> None:
    slower = row("fused sampled", 1.5, 5.0, batch="sorted-1")
    text = findings.goals([*rows(), slower, row("k2 pruned", 2.0, 200.0, batch="sorted-1")])
    line = next(x for x in text.splitlines() if "time: fused sampled by k2 pruned" in x)
    assert "1/4.0 to 1/1.3" in line and line.rstrip(" |").endswith("no")


def test_losses_that_should_be_one_number_must_be() -> None:
    assert "full softmax: 0.0e+00" in findings.agreement(rows())
    with pytest.raises(ValueError, match="losses disagree at V = 2000, random random-0"):
        findings.agreement([*rows(), row("torchaudio", 1.0, 1.0, loss=101.0)])


def test_the_report_is_written_and_drawn(tmp_path: Path) -> None:
    for made in rows():
        rows_file.append(tmp_path / "losses.csv", as_written(made))
    for made in growth_rows():
        rows_file.append(tmp_path / "growth.csv", as_written(made))
    kinds = {"matrix products": 1.5, "tanh, exp, log": 0.5, "all": 2.0,
             "matrix products at full speed": 1.4}  # fmt: skip
    profile_loss.write(
        tmp_path / "profile.csv",
        [{"method": "fused full", "posteriors": "random", "kind": k, "seconds": x}
         for k, x in kinds.items()],
    )  # fmt: skip
    long, short = tmp_path / "long.md", tmp_path / "short.md"
    long.write_text(MARKERS)
    short.write_text(MARKERS)
    report.write(tmp_path, long=long, short=short)
    text = long.read_text()
    assert text.startswith("before\n<!-- benchmark: begin -->\n") and text.endswith("after\n")
    assert "old" not in text and "does not fit: 70,000" in text and "a machine" in text
    assert "| fused full | random     | 100.0     | 25.0" in text
    assert "| fused sampled                         | 1.20   | 1.20" in text  # denormals
    assert "| fused full | random     | 2.00 | 1.40            | 75                | 25" in text
    assert "| k2 pruned             | 200         |" in short.read_text()
    for name in ("losses.png", "growth.png"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_the_lattice_is_measured_in_each_environment_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "lattice.csv"
    for _ in range(2):  # the second call replaces the rows of the first
        bench_lattice.main(repeats=1, results=file, sizes=(4,))
    found = rows_file.read(file, columns=bench_lattice.COLUMNS)
    backends = {lattice.BACKEND, "torch"}
    assert len(found) == 4 * len(backends) and {row["backend"] for row in found} == backends
    assert all(float(row["difference"]) < 1e-10 for row in found)
    other = [row | {"environment": "another"} for row in found]
    text = findings.lattice([*found, *other])
    assert text.count("| random of 4 |") == text.count("| one long ") == 2
    assert f"| {lattice.BACKEND}" in text
    assert (
        "posteriors in float64, which differ by" in text and findings.lattice([]) == "Not measured."
    )


def test_a_report_needs_rows_and_markers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold losses\.csv"):
        report.write(tmp_path, long=tmp_path / "a.md", short=tmp_path / "a.md")
    (tmp_path / "a.md").write_text("no markers")
    with pytest.raises(ValueError, match="must hold <!-- benchmark: begin -->"):
        tables.replace_between(tmp_path / "a.md", "benchmark", "text")


def test_numbers_have_three_digits() -> None:
    shown = [tables.number(x) for x in (0.0004, 0.123456, 1.2345, 12.345, 123.45, 12345.6)]
    assert shown == ["0.0004", "0.123", "1.23", "12.3", "123", "12,346"]


def test_operators_have_their_kinds() -> None:
    events = ("aten::addmm", "aten::tanh_", "aten::index_select", "aten::amax", "aten::sub_")
    kinds = [profile_loss.kind_of(event) for event in events]
    assert kinds == [k for k in profile_loss.KINDS]
    assert profile_loss.kind_of("MutualInformationRecursionFunction") == profile_loss.LATTICE
    for event in ("aten::view", "aten::expand", "_FusedLogLikelihood"):
        assert profile_loss.kind_of(event) == profile_loss.REST
