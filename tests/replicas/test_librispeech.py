from __future__ import annotations

from pathlib import Path

import pytest
from lhotse import RecordingSet, SupervisionSet
from lhotse.recipes import download_librispeech, prepare_librispeech

from tests.replicas import librispeech
from tests.replicas.folders import digests


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return librispeech.make(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def manifests(corpus: Path) -> dict[str, dict[str, RecordingSet | SupervisionSet]]:
    return prepare_librispeech(corpus)


def test_lhotse_finds_every_utterance_with_its_text(manifests) -> None:
    found = {
        (part, supervision.id): supervision.text
        for part, manifest in manifests.items()
        for supervision in manifest["supervisions"]
    }
    plan = librispeech.plan_utterances(60, seed=0)
    assert found == {(u.part, u.utterance_id): u.text for u in plan}
    assert len(found) == 60


def test_the_audio_is_speech_at_16_khz(manifests) -> None:
    for manifest in manifests.values():
        for recording in manifest["recordings"]:
            assert recording.sampling_rate == 16000
            samples = recording.load_audio()
            assert 0.1 < abs(samples).max() < 1, recording.id
            # A word takes between a fifth of a second and a second.
            words = len(manifest["supervisions"][recording.id].text.split())
            assert 0.2 * words < recording.duration < 1.0 * words, recording.id


def test_every_part_is_there_and_no_speaker_is_in_two(manifests) -> None:
    sizes = {part: len(manifest["recordings"]) for part, manifest in manifests.items()}
    assert sizes == librispeech.part_sizes(60)
    assert all(size >= 3 for size in sizes.values())
    speakers = [s.speaker for part in manifests for s in _by_speaker(manifests[part])]
    assert len(speakers) == len(set(speakers)) >= 8


def _by_speaker(manifest) -> list:
    return list({s.speaker: s for s in manifest["supervisions"]}.values())


def test_downloading_again_has_nothing_to_do(corpus: Path) -> None:
    nowhere = "file:///nowhere"
    assert download_librispeech(corpus.parent, "librispeech", base_url=nowhere) == corpus


def test_the_same_arguments_give_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert digests(librispeech.make(tmp_path)) == digests(corpus)


def test_another_seed_gives_other_sentences() -> None:
    first, second = (librispeech.plan_utterances(60, seed=seed) for seed in (0, 1))
    assert {u.text for u in first}.isdisjoint(u.text for u in second)
    assert [u.utterance_id for u in first] == [u.utterance_id for u in second]


def test_silence_instead_of_speech(tmp_path: Path) -> None:
    corpus = librispeech.make(tmp_path, num_utterances=12, speech=False)
    manifests = prepare_librispeech(corpus)
    recordings = [r for manifest in manifests.values() for r in manifest["recordings"]]
    assert len(recordings) == 12
    for recording in recordings:
        assert 0 < abs(recording.load_audio()).max() < 1e-3


def test_a_corpus_is_not_written_over_another(tmp_path: Path) -> None:
    librispeech.make(tmp_path, num_utterances=12, speech=False)
    with pytest.raises(ValueError, match="^folder must not hold .*LibriSpeech"):
        librispeech.make(tmp_path, num_utterances=12, speech=False)


def test_too_few_utterances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^num_utterances must be at least 12, and is 11"):
        librispeech.make(tmp_path, num_utterances=11)
