"""CSJ-APS end to end on a miniature in its exact layout, and the rows of Table 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lhotse.recipes import csj as lhotse_csj

from icefall_sampled.tokens import load_tokens
from tests.replicas import csj
from tests.support.by_heart import character_error_percent
from tests.support.character_recipes import (
    bash,
    check_results,
    check_results_file_is_generated,
    check_unknown,
    check_variants,
    cuts_of,
    recipe,
    stages_again,
)
from tests.support.recipes import load

SETS = ("train", "dev", "eval1", "eval2", "eval3")
DEV_UTTERANCES = 6
LISTED = {f"eval{i}": set(names) for i, names in enumerate(lhotse_csj._EVAL, start=1)}


def flags(folder: Path) -> list[str]:
    return ["--download-dir", str(folder), "--data-dir", str(folder / "data"), "--num-jobs", "1",
            "--dev-utterances", str(DEV_UTTERANCES)]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the miniature, and in `data` what prepare.sh made of it."""
    folder = tmp_path_factory.mktemp("csj")
    csj.make(folder)
    done = bash("csj", "prepare.sh", *flags(folder))
    assert done.returncode == 0, done.stderr
    classes = load_tokens(folder / "data/lang_char").vocab_size
    assert f"{classes} classes: blank, unknown and {classes - 2} characters" in done.stderr
    check_unknown("csj", folder, SETS, done.stderr)
    return folder


def test_each_set_has_its_sessions_and_all_that_is_said_in_them(prepared: Path) -> None:
    expected: dict[str, str] = {}
    for utterance in csj.expected(csj.plan_sessions(60, seed=0)):
        expected.setdefault(utterance.recording_id, "")
        expected[utterance.recording_id] += utterance.text
    found: dict[str, dict[str, str]] = {name: {} for name in SETS}
    for name in SETS:
        cuts = [cut for cut in cuts_of(prepared, "csj", name) if "_sp" not in cut.id]
        for cut in sorted(cuts, key=lambda cut: cut.id):
            session = cut.id.split("_")[0]
            found[name].setdefault(session, "")
            found[name][session] += cut.supervisions[0].text
    for name, listed in LISTED.items():
        assert set(found[name]) <= listed
    tests = set().union(*LISTED.values())
    academic = {session for session in expected if session[0] == "A"} - tests
    assert {*found["train"], *found["dev"]} <= academic
    for session in tests | academic:
        parts = [found[name].get(session, "") for name in ("dev", "train", *LISTED)]
        if "×" in expected[session]:  # what is joined with × is left out with it
            assert "×" not in "".join(parts)
        else:
            assert "".join(parts) == expected[session]
    assert any("×" not in expected[session] for session in academic)


def test_dev_is_the_first_utterances_and_the_table_is_of_train(prepared: Path) -> None:
    dev, train = (
        {cut.id: cut.supervisions[0].text for cut in cuts_of(prepared, "csj", name)}
        for name in ("dev", "train")
    )
    originals = {i: text for i, text in train.items() if "_sp" not in i}
    assert len(dev) == DEV_UTTERANCES
    assert max(dev) < min(originals)
    assert len(train) == 3 * len(originals)
    tokens = load_tokens(prepared / "data/lang_char")
    characters = tokens.decode(list(range(2, tokens.vocab_size)))
    assert characters == "".join(sorted(set("".join(originals.values()))))


def test_what_was_said_is_where_the_cut_is(prepared: Path) -> None:
    for cut in cuts_of(prepared, "csj", "eval1"):
        session, start, end = cut.id.split("_")
        assert cut.recording_id == session
        assert (int(start), int(end)) == (round(1000 * cut.start), round(1000 * cut.end))
        assert abs(cut.load_audio()).max() > 0.1


def test_prepared_once_is_enough(prepared: Path) -> None:
    assert len(json.loads((prepared / "data/statistics.json").read_text())) == 5
    stages = stages_again("csj", *flags(prepared))
    assert len(stages) == 13
    assert all("done already" in line for line in stages), stages


def test_two_rows_from_training_to_results(prepared: Path) -> None:
    check_results("csj", prepared, "batch_uniform_1000", "example_ctc_500_large_batch")


def test_results_are_generated(tmp_path: Path) -> None:
    check_results_file_is_generated("csj", tmp_path)


def test_variants_are_the_rows_of_table_2() -> None:
    check_variants("csj")
    variants = load(recipe("csj") / "sampled_transducer/train.py").variants()
    small, large = variants["example_ctc_500"], variants["example_ctc_500_large_batch"]
    assert large.sampling == small.sampling
    for seconds, steps in ((small, large),):
        assert steps.data.max_duration_seconds == 4 * seconds.data.max_duration_seconds
        assert 4 * steps.training.max_steps == seconds.training.max_steps


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "it must be a copy of CSJ with MORPH/SDB and WAV in it"),
        (["--stage", "1"], "it must hold CSJ: there is no MORPH/SDB"),
        (["--dev-utterances", "many"], "--dev-utterances is 'many', it must be a whole number"),
    ],
)
def test_wrong_options_are_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    folders = ["--corpus-dir", tmp_path, "--data-dir", tmp_path / "data", "--stop-stage", "1"]
    done = bash("csj", "prepare.sh", *folders, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_small_model_learns_the_miniature_by_heart(prepared: Path) -> None:
    assert character_error_percent("csj", prepared) < 5
