"""A corpus in which something is missing or broken; each trap is one for lhotse's own recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from csj_sessions import TEST_SETS
from lhotse import RecordingSet, SupervisionSet
from lhotse.recipes import csj as lhotse_csj

from tests.replicas import csj
from tests.replicas.traps import drop_last_newline, remove_audio, remove_session
from tests.support.character_recipes import LENIENT, manifests_script

SETS = ("train", "dev", "eval1", "eval2", "eval3")


def test_test_sets_are_those_of_kaldi() -> None:
    assert {name: set(sessions.split()) for name, sessions in TEST_SETS.items()} == {
        f"eval{i}": set(names) for i, names in enumerate(lhotse_csj._EVAL, start=1)
    }


def supervisions(manifests: Path) -> dict[str, list[tuple[str, str]]]:
    return {
        name: [
            (s.id, s.text)
            for s in SupervisionSet.from_file(manifests / f"csj_supervisions_{name}.jsonl.gz")
        ]
        for name in SETS
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A miniature of noise, and its supervisions as long as nothing is broken."""
    folder = tmp_path_factory.mktemp("whole")
    corpus = csj.make(folder, num_utterances=16, speech=False)
    done = manifests_script("csj", corpus, folder / "manifests", "--dev-utterances", "1")
    assert done.returncode == 0, done.stderr
    return corpus, supervisions(folder / "manifests")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return csj.make(tmp_path, num_utterances=16, speech=False)


def training_session() -> str:
    """One that trains, ends with a text that is kept, and comes after dev."""
    sessions = [s for s in csj.plan_sessions(16, seed=0) if s.name[0] == "A"]
    said = {u.recording_id: u.text for u in csj.expected(csj.plan_sessions(16, seed=0))}
    tests = {name for listed in TEST_SETS.values() for name in listed.split()}
    return max(s.name for s in sessions if s.name not in tests and "×" not in said[s.name])


def test_a_transcript_without_its_last_newline_keeps_its_last_segment(
    corpus: Path, whole: tuple[Path, dict], tmp_path: Path
) -> None:
    session = training_session()
    path = drop_last_newline(corpus, session)
    content = path.read_bytes()
    done = manifests_script("csj", corpus, tmp_path / "manifests", "--dev-utterances", "1")
    assert done.returncode == 0, done.stderr
    assert f"{session}.sdb does not end with a newline" in done.stderr
    assert supervisions(tmp_path / "manifests") == whole[1]
    assert any(name.startswith(session) for name, _ in whole[1]["train"])
    assert path.read_bytes() == content  # the corpus is only read


@pytest.mark.parametrize("session", ["D01M0019", "S11M1174"])
def test_sessions_of_other_parts_of_the_corpus_may_be_missing(
    corpus: Path, whole: tuple[Path, dict], tmp_path: Path, session: str
) -> None:
    remove_session(corpus, session)
    done = manifests_script("csj", corpus, tmp_path / "manifests", "--dev-utterances", "1")
    assert done.returncode == 0, done.stderr
    assert supervisions(tmp_path / "manifests") == whole[1]


def delete_audio(corpus: Path) -> str:
    remove_audio(corpus, "A01M0110")
    return "A01M0110: there is no A01M0110.wav"


def delete_session(corpus: Path) -> str:
    remove_session(corpus, "S00M0112")
    return "S00M0112: there is no S00M0112.sdb"


def break_transcript(corpus: Path) -> str:
    path = next(corpus.rglob("A01M0137.sdb"))
    path.write_bytes(path.read_bytes() + b"1\tS\tA01M0137\n")
    return "A01M0137: lhotse cannot read it: "


def empty_transcript(corpus: Path) -> str:
    next(corpus.rglob("A01M0141.sdb")).write_bytes(b"")
    return "A01M0141: lhotse cannot read it: "


def break_audio(corpus: Path) -> str:
    next(corpus.rglob("A06F0135.wav")).write_bytes(b"RIFF")
    return "A06F0135: lhotse cannot read it: "


@pytest.mark.parametrize(
    "damage", [delete_audio, delete_session, break_transcript, empty_transcript, break_audio]
)
def test_a_session_that_cannot_be_used_is_left_out_by_id(
    damage: Callable[[Path], str], corpus: Path, whole: tuple[Path, dict], tmp_path: Path
) -> None:
    sentence = damage(corpus)
    session = sentence.split(":")[0]
    options = [corpus, tmp_path / "manifests", "--dev-utterances", "1"]
    strict = manifests_script("csj", *options)
    assert strict.returncode == 2
    assert sentence in strict.stderr.splitlines()[-1]
    assert "1 of 10 utterances had to be left out" in strict.stderr
    assert "Traceback" not in strict.stderr
    lax = manifests_script("csj", *options, *LENIENT)
    assert lax.returncode == 0, lax.stderr
    assert supervisions(tmp_path / "manifests") == {
        name: [(i, text) for i, text in rows if not i.startswith(session)]
        for name, rows in whole[1].items()
    }


def test_relative_paths_lead_to_absolute_ones(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = manifests_script("csj", "CSJ", "manifests", "--dev-utterances", "1")
    assert done.returncode == 0, done.stderr
    recordings = RecordingSet.from_file(tmp_path / "manifests/csj_recordings_eval1.jsonl.gz")
    sources = {Path(source.source) for r in recordings for source in r.sources}
    assert len(sources) == 10
    assert all(source.is_absolute() and source.is_file() for source in sources)


def test_more_dev_than_there_is(corpus: Path, tmp_path: Path) -> None:
    done = manifests_script("csj", corpus, tmp_path / "manifests")
    assert done.returncode == 2
    assert "--dev-utterances is 4000, it must be at least 1 and less than the" in done.stderr
