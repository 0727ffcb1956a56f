"""RESULTS.md from three files of results, through the command line."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from icefall_sampled.results import step_mib
from icefall_sampled.tables.report import points_of, read_results, report
from icefall_sampled.tables.table import read_table
from tests.support.recipes import ROOT, environment, load
from tests.support.results import make_result, write_run, write_table

SCRIPT = ROOT / "local/seed_table.py"
TABLES = sorted(ROOT.glob("egs/*/ASR/local/table*.json"))


def seed_table(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def tables_of(text: str) -> dict[str, dict[str, list[str]]]:
    """The cells of a Markdown text's tables, by their heading and then by their first cell."""
    tables: dict[str, dict[str, list[str]]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("|"):
            first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
            tables.setdefault(heading, {})[first] = rest
    return tables


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of three runs, and the table of them."""
    folder = tmp_path_factory.mktemp("table")
    table = write_table(folder)
    results = folder / "results"
    write_run(results, "full", 1, (0, 1, 2, 1))
    write_run(results, "full", 2, (0, 1, 2, 3))
    write_run(results, "sampled", 1, (1, 2, 3, 2), changes="--sampling.num-sampled 80")
    done = seed_table(table, results, "--output", folder / "RESULTS.md")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_table_from_three_files(made: Path) -> None:
    text = (made / "RESULTS.md").read_text()
    assert text.startswith("# Results\n\n## Rows\n")
    tables = tables_of(text)
    assert tables["Rows"]["full"] == ["all classes", "500", "2", "3600", "102", "40.0", "100.0"]
    assert tables["Rows"]["sampled"][2:] == ["1 of 2", "3600", "101", "30.0", "50.0"]
    assert tables["Rows"]["full_noaux"][2:] == ["not run", "-", "-", "-", "-"]
    spread = statistics.stdev([10.0, 15.0])
    greedy = tables["test, greedy"]
    assert greedy["row"] == ["seeds", "WER %", "minus full", "wrong %", "minus full"]
    assert greedy["full"] == ["2", f"12.50 ± {spread:.2f}", "", "75.00 ± 0.00", ""]
    # Seed 1 errs once more in each utterance; half of the baseline's means are of other seeds.
    assert greedy["sampled"][:2] == ["1 of 2", "20.00"]
    assert greedy["sampled"][2].startswith("+7.50 [+")
    assert greedy["full_noaux"] == ["not run", "-", "-", "-", "-"]
    assert set(tables) == {"Rows", "test, greedy", "test, held"}
    assert "`sampled`, seed 1, was trained with `--sampling.num-sampled 80`." in text
    runs = "full (1, 2), sampled (1)"
    where = "Commit abc1234, torch 1.13.1, k2, 2 x Abacus (x86_64)."
    assert f"- {runs} trained by: {where}\n- {runs} decoded by: Commit abc1234.\n" in text
    assert "![Memory of a training step against WER % on test, greedy](RESULTS.png)" in text
    assert (made / "RESULTS.png").read_bytes().startswith(b"\x89PNG")


def test_points_of_the_figure(made: Path) -> None:
    table = read_table(made / "table.json")
    full, sampled = points_of(table, read_results(made / "results", table))
    assert (full.name, full.step_mib, full.stored_mib, full.error_percent) == (
        "full", 40.0, 100.0, 12.5,
    )  # fmt: skip
    assert full.spread_percent == pytest.approx(statistics.stdev([10.0, 15.0]))
    assert (sampled.step_mib, sampled.stored_mib, sampled.spread_percent) == (30.0, 50.0, 0.0)


def test_no_run_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(SCRIPT).main(write_table(tmp_path), tmp_path / "results")
    text = capsys.readouterr().out
    assert {cells[2] for cells in list(tables_of(text)["Rows"].values())[2:]} == {"not run"}
    assert "Nothing has been run yet." in text


def test_runs_and_decodings_are_printed(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def printed(**arguments: object) -> str:
        load(SCRIPT).main(made / "table.json", made / "results", **arguments)
        return capsys.readouterr().out

    assert printed(print_runs=True, rows=("sampled",), seeds=(3, 1)) == "sampled 3\nsampled 1\n"
    assert printed(print_runs=True).startswith("full 1\nfull 2\nsampled 1\n")
    greedy, sets = "--method greedy --avg 1", "--sets dev test\n"
    bare = f"{greedy} {sets}"
    assert printed(print_decodings="full") == f"{bare}{greedy} --ctc-top-k 100 {sets}"
    assert printed(print_decodings="full_noaux") == bare


def test_a_run_with_other_flags_is_no_run_that_is_done(made: Path) -> None:
    arguments = [made / "table.json", made / "results", "--print-runs", "--changes=--x.y 1"]
    done = seed_table(*arguments)
    assert done.returncode == 2
    assert "full-seed-1.json was trained with --train '' and not with '--x.y 1'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_set_must_be_the_same_in_all_results(tmp_path: Path) -> None:
    table = read_table(write_table(tmp_path))
    write_run(tmp_path, "full", 1, (1, 2))
    write_run(tmp_path, "full", 2, (1, 2, 3))
    with pytest.raises(ValueError, match=r"^test in .*full-seed-2.json has other utterances than"):
        read_results(tmp_path, table)


def test_a_result_under_another_name(tmp_path: Path) -> None:
    table = read_table(write_table(tmp_path))
    write_run(tmp_path, "full", 1, (1, 2)).rename(tmp_path / "sampled-seed-1.json")
    with pytest.raises(ValueError, match=r"sampled-seed-1.json is of full, seed 1"):
        read_results(tmp_path, table)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"baseline": "none"}, "there is no 'none', it must be one of full, sampled, full_noaux"),
        ({"figure_set": "dev"}, "figure_set in .* is 'dev', it must be among test"),
        ({"figure_decoding": "beam"}, "figure_decoding in .* is 'beam', it must be among greedy"),
        ({"measures": [{"unit": "letters", "name": "x"}]}, "measures.unit in .* is 'letters'"),
        ({"seeds": 1}, "is not a table"),
        ({"surprise": 1}, "has no field 'surprise'"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_said(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_table(write_table(tmp_path, **changes))
    with pytest.raises(ValueError, match="table is .*, it must be a recipe's local/table.json"):
        read_table(tmp_path / "none.json")


@pytest.mark.parametrize("path", TABLES, ids=str)
def test_the_tables_of_the_recipes(path: Path) -> None:
    table = read_table(path)
    assert (path.parent / table.header).is_file()
    settings = [decoding.settings for decoding in table.decodings]
    assert len(set(settings)) == len(settings)
    assert json.loads(path.read_text())["baseline"] == table.rows[0].variant


@pytest.mark.parametrize("path", TABLES, ids=str)
def test_the_recipes_tables_are_what_their_results_say(path: Path) -> None:
    """But for the intervals, whose random numbers may be others in another version of numpy."""
    table, recipe = read_table(path), path.parent.parent
    written = recipe / (path.stem.replace("table", "RESULTS") + ".md")
    results = read_results(recipe / "results", table)
    if not any(results.values()):
        pytest.skip("no run of it has been committed")
    header = (path.parent / table.header).read_text(encoding="utf-8")
    text = report(table, results, header=header, figure=written.with_suffix(".png"))
    assert without_intervals(written.read_text(encoding="utf-8")) == without_intervals(text)


def without_intervals(text: str) -> list[str]:
    """The lines of a Markdown text, however wide the columns are that the intervals make."""
    plain = re.sub(r" \[[-+.0-9]+, [-+.0-9]+\]", "", text)
    return [re.sub(r"(-| )+", r"\1", line) for line in plain.splitlines()]


def test_memory_of_the_loss_that_was_trained() -> None:
    memory = make_result("sampled", 1, ()).memory_mib
    assert step_mib(memory) == (30.0, 50.0)
    assert step_mib({**memory, "full, pruned": 20.0}) == (20.0, None)
    assert step_mib({}) == (None, None)
