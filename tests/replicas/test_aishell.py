from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lhotse import RecordingSet, SupervisionSet
from lhotse.recipes import download_aishell, prepare_aishell

from tests.replicas import aishell
from tests.replicas.folders import digests

Manifests = dict[str, dict[str, RecordingSet | SupervisionSet]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aishell.make(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def manifests(corpus: Path) -> Manifests:
    return prepare_aishell(corpus)


def test_lhotse_finds_every_utterance_with_its_text(manifests: Manifests) -> None:
    found = {
        (part, supervision.id): supervision.text
        for part, manifest in manifests.items()
        for supervision in manifest["supervisions"]
    }
    # lhotse converts full-width letters, and removes the spaces between words.
    letters = str.maketrans("ａｔ", "AT")
    plan = aishell.plan_utterances(60, seed=0)
    assert found == {(u.part, u.utterance_id): "".join(u.words).translate(letters) for u in plan}
    assert any("A股" in text for text in found.values())


def test_the_transcript_is_words_apart(corpus: Path) -> None:
    lines = (corpus / aishell.TRANSCRIPT).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 60
    assert all(5 <= len(line.split(" ")) <= 12 for line in lines)
    assert lines[0].startswith("BAC009S0002W0122 ")


def test_the_audio_is_speech_at_16_khz(manifests: Manifests) -> None:
    for manifest in manifests.values():
        for recording in manifest["recordings"]:
            assert recording.sampling_rate == 16000
            assert 0.1 < abs(recording.load_audio()).max() < 1, recording.id
            # A character is a syllable.
            syllables = len(manifest["supervisions"][recording.id].text)
            assert 0.15 * syllables < recording.duration < 0.5 * syllables, recording.id


def test_no_speaker_is_in_two_sets(manifests: Manifests) -> None:
    sizes = {part: len(manifest["recordings"]) for part, manifest in manifests.items()}
    assert sizes == {"train": 48, "dev": 6, "test": 6}
    speakers = [
        speaker
        for manifest in manifests.values()
        for speaker in {supervision.speaker for supervision in manifest["supervisions"]}
    ]
    assert len(speakers) == len(set(speakers)) == 6


def test_downloading_again_has_nothing_to_do(corpus: Path) -> None:
    assert download_aishell(corpus.parent, base_url="file:///nowhere") == corpus


def test_the_same_arguments_give_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert digests(aishell.make(tmp_path)) == digests(corpus)


def test_silence_instead_of_speech(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        manifests = prepare_aishell(aishell.make(tmp_path, num_utterances=6, speech=False))
    recordings = [r for manifest in manifests.values() for r in manifest["recordings"]]
    assert len(recordings) == 6
    assert all(0 < abs(recording.load_audio()).max() < 1e-3 for recording in recordings)
    assert not caplog.records


def test_too_few_utterances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^num_utterances must be at least 6, and is 5"):
        aishell.make(tmp_path, num_utterances=5)
