"""RESULTS.md from three files of results, through the command line."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from icefall_sampled.recipes.results import step_mib
from icefall_sampled.recipes.tables.reading import read_results
from icefall_sampled.recipes.tables.report import points_of, report
from icefall_sampled.recipes.tables.table import read_table
from tests.support.recipes import ROOT, environment, load
from tests.support.results import TABLE, make_result, write_run, write_table

SCRIPT = ROOT / "local/seed_table.py"
INTERVAL = r" \[[-+.0-9]+, [-+.0-9]+\]"
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
    assert greedy["sampled"][2].endswith("], 1 seed")
    assert greedy["full_noaux"] == ["not run", "-", "-", "-", "-"]
    assert set(tables) == {"Rows", "test, greedy", "test, held", "test", "dev, in training"}
    assert "`sampled`, seed 1, was trained with `--sampling.num-sampled 80`." in text
    runs = "full (1, 2), sampled (1)"
    where = "Commit abc1234, torch 1.13.1, k2, 2 x Abacus (x86_64)."
    assert f"- {runs} trained by: {where}\n- {runs} decoded by: Commit abc1234.\n" in text
    assert "![Memory of a training step against WER % on test, greedy](RESULTS.png)" in text
    assert (made / "RESULTS.png").read_bytes().startswith(b"\x89PNG")


def test_other_differences_and_the_number_of_intervals(made: Path) -> None:
    text = (made / "RESULTS.md").read_text()
    assert "## Other differences\n\n### test\n" in text
    compared = tables_of(text)["test"]
    assert compared["sampled minus full_noaux"] == ["greedy", "-", "-"]
    decodings, words, utterances = compared["full"]
    assert decodings == "held minus greedy"
    # Neither seed errs in the first utterance, where the constraint would spare an error.
    assert (words, utterances) == ("+0.00 [+0.00, +0.00]", "+0.00 [+0.00, +0.00]")
    # In two decodings and two measures sampled minus full, and full in two measures.
    assert "seeds. 6 intervals are shown: some lack zero by chance alone.\n" in text
    assert len(re.findall(INTERVAL, text)) == 6


def test_decodings_of_the_same_models_are_paired(tmp_path: Path) -> None:
    """The seeds differ by far more than the decodings, between which there is always one error."""
    table = read_table(write_table(tmp_path))
    for seed, errors in ((1, (2, 0)), (2, (9, 9))):
        write_run(tmp_path, "full", seed, errors)
    text = report(table, read_results(tmp_path, table), header="", figure=None)
    estimate, low, high = map(float, re.findall(r"[-+][.0-9]+", tables_of(text)["test"]["full"][1]))
    assert (estimate, low, high) == (-5.0, -10.0, 0.0)


def test_how_errors_on_dev_fell(made: Path) -> None:
    curves = tables_of((made / "RESULTS.md").read_text())["dev, in training"]
    assert curves["row"] == ["step 600", "step 1200"]
    assert curves["full"] == ["51.5", "25.0, 32 s"]  # 31.5 s, to the even number
    assert curves["full_noaux"] == ["-", "-"]


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

    assert printed(print_runs=True, rows=("sampled",), seeds=(2, 1)) == "sampled 2\nsampled 1\n"
    assert printed(print_runs=True).startswith("full 1\nfull 2\nsampled 1\n")
    greedy, sets = "--method greedy --avg 1", "--sets dev test\n"
    bare = f"{greedy} {sets}"
    assert printed(print_decodings="full") == f"{bare}{greedy} --ctc-top-k 100 {sets}"
    assert printed(print_decodings="full_noaux") == bare
    assert printed(print_places=True) == "data\nRESULTS.md\n"
    with pytest.raises(ValueError, match="^seeds: 3 is not in the table, it must be among 1, 2$"):
        printed(print_runs=True, seeds=(1, 3))


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
    with pytest.raises(ValueError, match=r"full-seed-2.json has other utterances in test than .*1"):
        read_results(tmp_path, table)


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"steps": 3000}, "steps of training"), ({"config": "b"}, "flags or settings of full")],
)
def test_seeds_of_a_row_are_trained_alike(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    table = read_table(write_table(tmp_path))
    write_run(tmp_path, "full", 1, (1, 2))
    write_run(tmp_path, "full", 2, (1, 2), **changes)
    with pytest.raises(ValueError, match=rf"full-seed-2.json has other {what} than .*seed-1.json"):
        read_results(tmp_path, table)


def test_rows_have_the_same_steps_and_settings_of_their_own(tmp_path: Path) -> None:
    table = read_table(write_table(tmp_path))
    write_run(tmp_path, "full", 1, (1, 2))
    write_run(tmp_path, "sampled", 1, (1, 2))
    assert [len(runs) for runs in read_results(tmp_path, table).values()] == [1, 1, 0]
    write_run(tmp_path, "sampled", 1, (1, 2), steps=3000)
    with pytest.raises(ValueError, match=r"sampled-seed-1.json has other steps of training than"):
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
        ({"figure_set": "dev"}, "figure_set is 'dev', it must be one of shown"),
        ({"figure_decoding": "beam"}, "there is no 'beam', it must be one of greedy; held"),
        ({"measures": [{"unit": "letters", "name": "x"}]}, "measures.unit is .'letters'.,"),
        ({"measures": []}, "measures.unit is .., it must be at least one"),
        ({"shown": ["test", "test"]}, "shown is .'test', 'test'., it must be .*, each once, among"),
        ({"sets": "test"}, "sets is 'test', it must be a list"),
        ({"rows": [TABLE["rows"][0]] * 2}, "rows.variant is .'full', 'full'., it must be .*once"),
        ({"seeds": 1}, "is not a table: .*seeds is 1, it must be a list"),
        ({"seeds": []}, "seeds is .., it must be at least one"),
        ({"seeds": ["1"]}, "seeds is .'1',., it must be .*, whole numbers above 0"),
        ({"seeds": [2, 2]}, "seeds is .2, 2., it must be .*, each once"),
        ({"decodings": [TABLE["decodings"][0] | {"flags": ["--beem", "3"]}]},
         "flags of the decoding 'greedy': .*--beem"),
        ({"decodings": [TABLE["decodings"][0] | {"flags": ["--beam", "0"]}]},
         "flags of the decoding 'greedy': beam is 0, it must be at least 1"),
        ({"decodings": [TABLE["decodings"][0] | {"flags": [3]}]}, "decodings.flags is .3,., it"),
        ({"decodings": [part | {"flags": []} for part in TABLE["decodings"]]},
         "decodings.flags is .*, it must be others in each decoding"),
        ({"comparisons": [{"row": "none"}]}, "there is no 'none', it must be one of full"),
        ({"comparisons": [{"row": "full"}]}, "full is compared with itself, it must be with"),
        ({"comparisons": [{"row": "full_noaux", "against": "full", "decoding": "held"}]},
         "full_noaux has no CTC head, it must be compared without 'held'"),
        ({"surprise": 1}, "has no field 'surprise'"),
        ({"header": 5}, "is not a table"),
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
    written = recipe / table.output
    results = read_results(recipe / "results", table)
    if not any(results.values()):
        pytest.skip("no run of it has been committed")
    header = (path.parent / table.header).read_text(encoding="utf-8")
    text = report(table, results, header=header, figure=written.with_suffix(".png"))
    assert without_intervals(written.read_text(encoding="utf-8")) == without_intervals(text)


def without_intervals(text: str) -> list[str]:
    """The lines of a Markdown text, however wide the columns are that the intervals make."""
    plain = re.sub(INTERVAL, "", text)
    return [re.sub(r"(-| )+", r"\1", line) for line in plain.splitlines()]


def test_memory_of_the_loss_that_was_trained() -> None:
    memory = make_result("sampled", 1, ()).memory_mib
    assert step_mib(memory) == (30.0, 50.0)
    assert step_mib({**memory, "full, pruned": 20.0}) == (20.0, None)
    assert step_mib({}) == (None, None)
