from __future__ import annotations

from pathlib import Path

import pytest
from lhotse import RecordingSet, SupervisionSet
from lhotse.recipes import prepare_csj

from tests.replicas import csj
from tests.replicas.folders import digests

Manifests = dict[str, dict[str, RecordingSet | SupervisionSet]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return csj.make(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def manifests(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    return prepare_csj(corpus, transcript_dir=tmp_path_factory.mktemp("transcripts"))


def test_lhotse_finds_every_utterance_with_its_text(manifests: Manifests) -> None:
    found = {
        (part, supervision.id): (supervision.recording_id, supervision.text)
        for part, manifest in manifests.items()
        for supervision in manifest["supervisions"]
    }
    expected = csj.expected(csj.plan_sessions(60, seed=0))
    assert found == {(u.part, u.utterance_id): (u.recording_id, u.text) for u in expected}


def test_segments_lie_within_their_recording_and_are_speech_there(manifests: Manifests) -> None:
    for manifest in manifests.values():
        for recording in manifest["recordings"]:
            samples = recording.load_audio()[0]
            assert recording.sampling_rate == 16000
            spoken = [s for s in manifest["supervisions"] if s.recording_id == recording.id]
            assert spoken
            for segment in spoken:
                begin, end = (round(16000 * t) for t in (segment.start, segment.end))
                assert abs(samples[begin:end]).max() > 0.1
                samples[begin:end] = 0
            # Outside the segments there is only the noise of the room.
            assert abs(samples).max() < 1e-3


def test_a_tag_may_hold_two_segments_together(manifests: Manifests) -> None:
    plan = csj.plan_sessions(60, seed=0)
    assert any(len(sentence) == 2 for session in plan for sentence in session.sentences)
    raw = [s.custom["raw"] for m in manifests.values() for s in m["supervisions"]]
    assert all(text.count("(") == text.count(")") for text in raw)


def test_each_set_has_its_sessions(manifests: Manifests) -> None:
    for part, sessions in csj.LISTED_SESSIONS.items():
        names = {recording.id[:8] for recording in manifests[part]["recordings"]}
        assert names == set(sessions)
    assert sum(len(sessions) for sessions in csj.LISTED_SESSIONS.values()) == 75
    training = [
        supervision.speaker
        for part in ("core", "noncore")
        for supervision in manifests[part]["supervisions"]
    ]
    assert len(training) == 60
    assert sum(speaker.startswith("A") for speaker in training) >= 35
    assert any(speaker.endswith("-L") for speaker in training)


def test_every_kind_of_tag_is_there(manifests: Manifests) -> None:
    raw, tags = "", set()
    for manifest in manifests.values():
        for supervision in manifest["supervisions"]:
            raw += supervision.custom["raw"]
            tags |= set(supervision.custom["disfluent_tag"].split(","))
    assert {"", "F", "D", "D2", "A", "W", "K", "M", "O", "R", "?", "笑", "L"} <= tags
    assert "×××" in raw


def test_transcripts_are_shift_jis_and_end_with_a_newline(corpus: Path) -> None:
    transcripts = sorted(corpus.glob("MORPH/SDB/*/*.sdb"))
    assert len(transcripts) == 75 + 8
    for path in transcripts:
        text = path.read_bytes().decode("shift_jis")
        assert text.endswith("\n") and not text.endswith("\n\n")
        assert all(len(line.split("\t")) == 17 for line in text.splitlines())


def test_the_same_arguments_give_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert digests(csj.make(tmp_path)) == digests(corpus)


def test_silence_instead_of_speech(tmp_path: Path) -> None:
    corpus = csj.make(tmp_path, num_utterances=200, speech=False)
    manifests = prepare_csj(corpus, transcript_dir=tmp_path / "transcripts")
    training = [manifests[part] for part in ("core", "noncore")]
    assert sum(len(manifest["supervisions"]) for manifest in training) == 200
    recording = next(iter(training[0]["recordings"]))
    assert 0 < abs(recording.load_audio()).max() < 1e-3


def test_too_few_utterances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^num_utterances must be at least 16, and is 15"):
        csj.make(tmp_path, num_utterances=15)
