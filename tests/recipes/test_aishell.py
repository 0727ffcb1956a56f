"""AISHELL-1 end to end on a miniature in its exact layout, and the rows of Table 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lhotse import RecordingSet, SupervisionSet

from icefall_sampled.tokens import load_tokens
from tests.replicas import aishell
from tests.replicas.traps import add_line_without_audio, remove_audio
from tests.support.by_heart import character_error_percent
from tests.support.character_recipes import (
    LENIENT,
    bash,
    check_results,
    check_results_file_is_generated,
    check_unknown,
    check_variants,
    cuts_of,
    manifests_script,
    recipe,
    stages_again,
)

SETS = ("train", "dev", "test")


def flags(folder: Path) -> list[str]:
    return ["--download-dir", str(folder), "--data-dir", str(folder / "data"), "--num-jobs", "1"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the miniature, and in `data` what prepare.sh made of it."""
    folder = tmp_path_factory.mktemp("aishell")
    aishell.make(folder)
    done = bash("aishell", "prepare.sh", *flags(folder))
    assert done.returncode == 0, done.stderr
    assert "Skipping download of data_aishell.tgz" in done.stderr  # lhotse was asked
    classes = load_tokens(folder / "data/lang_char").vocab_size
    assert f"{classes} classes: blank, unknown and {classes - 2} characters" in done.stderr
    check_unknown("aishell", folder, SETS, done.stderr)
    return folder


def written(utterance: aishell.Utterance) -> str:
    """What becomes of a line: no spaces, and lhotse's capitals for letters of full width."""
    return "".join(utterance.words).translate(str.maketrans("ａｔ", "AT"))


def test_all_stages(prepared: Path) -> None:
    plan = aishell.plan_utterances(60, seed=0)
    for name in SETS:
        cuts = cuts_of(prepared, "aishell", name)
        texts = {u.utterance_id: written(u) for u in plan if u.part == name}
        speeds = ("", "_sp0.9", "_sp1.1") if name == "train" else ("",)
        assert len(cuts) == len(texts) * len(speeds)
        assert {c.id: c.supervisions[0].text for c in cuts} == {
            i + speed: text for i, text in texts.items() for speed in speeds
        }
    tokens = load_tokens(prepared / "data/lang_char")
    train = {c for u in plan if u.part == "train" for c in written(u)}
    assert tokens.decode(list(range(2, tokens.vocab_size))) == "".join(sorted(train))
    assert len(json.loads((prepared / "data/statistics.json").read_text())) == 3
    stages = stages_again("aishell", *flags(prepared))
    assert len(stages) == 9
    assert all("done already" in line for line in stages), stages


def test_two_rows_from_training_to_results(prepared: Path) -> None:
    check_results("aishell", prepared, "full", "example_ctc_500")


def test_results_are_generated(tmp_path: Path) -> None:
    check_results_file_is_generated("aishell", tmp_path)


def test_variants_are_the_rows_of_table_2() -> None:
    check_variants("aishell")


def break_audio(corpus: Path) -> str:
    path = min(corpus.rglob("wav/test/*/*.wav"))
    path.write_bytes(b"RIFF")
    return f"{path.stem}: unreadable"


def empty_audio(corpus: Path) -> str:
    path = min(corpus.rglob("wav/test/*/*.wav"))
    path.write_bytes(path.read_bytes()[:44])
    return f"{path.stem}: unreadable"


def delete_audio(corpus: Path) -> str:
    name = min(corpus.rglob("wav/test/*/*.wav")).stem
    remove_audio(corpus, name)
    return f"{name}: transcript without audio"


def delete_line(corpus: Path) -> str:
    name = min(corpus.rglob("wav/test/*/*.wav")).stem
    transcript = corpus / aishell.TRANSCRIPT
    lines = transcript.read_text(encoding="utf-8").splitlines()
    kept = "".join(f"{line}\n\n" for line in lines if not line.startswith(name))
    transcript.write_text(kept, encoding="utf-8")
    return f"{name}: audio without transcript"


def delete_words(corpus: Path) -> str:
    name = min(corpus.rglob("wav/test/*/*.wav")).stem
    transcript = corpus / aishell.TRANSCRIPT
    lines = transcript.read_text(encoding="utf-8").splitlines()
    transcript.write_text(
        "".join(f"{name}\n" if line.startswith(name) else f"{line}\n" for line in lines),
        encoding="utf-8",
    )
    return f"{name}: audio without transcript"


def never_recorded(corpus: Path) -> str:
    return f"{add_line_without_audio(corpus)}: transcript without audio"


@pytest.mark.parametrize(
    "damage", [break_audio, empty_audio, delete_audio, delete_line, delete_words, never_recorded]
)
def test_what_cannot_be_used_is_left_out_by_id(
    damage: Callable[[Path], str], tmp_path: Path
) -> None:
    corpus = aishell.make(tmp_path, num_utterances=20, speech=False)
    sentence = damage(corpus)
    name = sentence.split(":")[0]
    strict = manifests_script("aishell", corpus, tmp_path / "manifests")
    assert strict.returncode == 2
    assert sentence in strict.stderr.splitlines()[-1]
    assert "Traceback" not in strict.stderr
    lax = manifests_script("aishell", corpus, tmp_path / "manifests", *LENIENT)
    assert lax.returncode == 0, lax.stderr
    left_out = [
        json.loads(line)["id"]
        for part in SETS
        for line in (tmp_path / f"manifests/aishell_rejects_{part}.jsonl").read_text().splitlines()
    ]
    assert left_out == [name]
    known = {
        s.id
        for part in SETS
        for s in SupervisionSet.from_file(
            tmp_path / f"manifests/aishell_supervisions_{part}.jsonl.gz"
        )
    }
    plan = {u.utterance_id for u in aishell.plan_utterances(20, seed=0)}
    assert known == plan - {name}


def test_relative_paths_lead_to_absolute_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = aishell.make(tmp_path, num_utterances=6, speech=False)
    monkeypatch.chdir(tmp_path)
    assert manifests_script("aishell", "aishell", "manifests").returncode == 0
    recordings = RecordingSet.from_file(tmp_path / "manifests/aishell_recordings_train.jsonl.gz")
    sources = {Path(source.source) for r in recordings for source in r.sources}
    assert sources == set((corpus / "data_aishell/wav/train").rglob("*.wav"))


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("data_aishell/wav/dev", "it must have audio in data_aishell/wav/dev"),
        ("data_aishell/transcript", "it must have data_aishell/transcript/aishell_transcript"),
    ],
)
def test_a_folder_that_is_no_aishell(missing: str, sentence: str, tmp_path: Path) -> None:
    corpus = aishell.make(tmp_path, num_utterances=6, speech=False)
    (corpus / missing).rename(tmp_path / "elsewhere")
    done = bash("aishell", "prepare.sh", "--corpus-dir", corpus, "--data-dir", tmp_path / "data")
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_programs_can_be_run_by_name() -> None:
    for name in ("prepare.sh", "run_table.sh", "sampled_transducer/train.py"):
        assert (recipe("aishell") / name).stat().st_mode & 0o111


@pytest.mark.slow
def test_a_small_model_learns_the_miniature_by_heart(prepared: Path) -> None:
    assert character_error_percent("aishell", prepared) < 5
