"""Each trap works: how lhotse's own recipes handle the broken corpora."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lhotse.recipes import prepare_aishell, prepare_csj, prepare_librispeech

from tests.replicas import aishell, csj, librispeech, traps


@pytest.fixture
def csj_corpus(tmp_path: Path) -> Path:
    return csj.make(tmp_path, num_utterances=16, speech=False)


def ids(manifests) -> set[str]:
    return {s.id for manifest in manifests.values() for s in manifest["supervisions"]}


def test_librispeech_without_an_audio_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = librispeech.make(tmp_path, num_utterances=12, speech=False)
    before = ids(prepare_librispeech(corpus))
    removed = traps.remove_audio(corpus, "19-198-0000")
    with caplog.at_level(logging.WARNING):
        assert ids(prepare_librispeech(corpus)) == before - {"19-198-0000"}
    assert f"No such file: {removed}" in caplog.text


def test_librispeech_with_a_line_without_audio(tmp_path: Path) -> None:
    corpus = librispeech.make(tmp_path, num_utterances=12, speech=False)
    before = ids(prepare_librispeech(corpus))
    added = traps.add_line_without_audio(corpus)
    transcript = (corpus / "train-clean-100/19/198/19-198.trans.txt").read_text()
    assert f"\n{added} NOBODY RECORDED THIS\n" in transcript
    assert ids(prepare_librispeech(corpus)) == before and added not in before


def test_aishell_without_an_audio_file_and_with_a_line_too_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = aishell.make(tmp_path, num_utterances=6, speech=False)
    before = ids(prepare_aishell(corpus))
    traps.remove_audio(corpus, "BAC009S0002W0122")
    added = traps.add_line_without_audio(corpus)
    lines = (corpus / aishell.TRANSCRIPT).read_text(encoding="utf-8").splitlines()
    assert lines[-1] == f"{added} 没有 录音" and len(lines) == 7
    with caplog.at_level(logging.WARNING):
        assert ids(prepare_aishell(corpus)) == before - {"BAC009S0002W0122"}
    # lhotse goes through the audio: it does not report a line without audio.
    assert not caplog.records


@pytest.mark.parametrize("name", ["A01M0110", "D03F0058-R"])
def test_csj_without_an_audio_file(csj_corpus: Path, tmp_path: Path, name: str) -> None:
    traps.remove_audio(csj_corpus, name)
    with pytest.raises(AssertionError, match=f"{name}.wav cannot be found"):
        prepare_csj(csj_corpus, transcript_dir=tmp_path / "transcripts")


def test_csj_loses_the_last_segment_of_a_transcript_without_its_last_newline(
    csj_corpus: Path, tmp_path: Path
) -> None:
    plan = csj.plan_sessions(16, seed=0)
    session = next(s for s in plan if s.part == "noncore" and s.name.startswith("A"))
    traps.drop_last_newline(csj_corpus, session.name)
    found = ids(prepare_csj(csj_corpus, transcript_dir=tmp_path / "transcripts"))
    expected = csj.expected(plan)
    last = [u.utterance_id for u in expected if u.recording_id == session.name][-1]
    assert found == {u.utterance_id for u in expected} - {last}


@pytest.mark.parametrize("session", ["D01M0019", "A01M0137", "S11M1174"])
def test_csj_without_a_listed_session(csj_corpus: Path, tmp_path: Path, session: str) -> None:
    traps.remove_session(csj_corpus, session)
    assert not list(csj_corpus.rglob(f"{session}*"))
    with pytest.raises(IndexError):
        prepare_csj(csj_corpus, transcript_dir=tmp_path / "transcripts")


def test_csj_at_a_relative_path(
    csj_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifests have the path as it was given to lhotse: it is wrong from another folder."""
    monkeypatch.chdir(tmp_path)
    manifests = prepare_csj("CSJ", transcript_dir="transcripts", dataset_parts="eval1")
    recording = manifests["eval1"]["recordings"][0]
    assert recording.load_audio().size
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="CSJ/WAV"):
        recording.load_audio()


def test_a_name_that_is_not_there_is_refused(csj_corpus: Path) -> None:
    with pytest.raises(ValueError, match="^name must be of one file in .* is A99M9999: 0 found"):
        traps.remove_audio(csj_corpus, "A99M9999")
