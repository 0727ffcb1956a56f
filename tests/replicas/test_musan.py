from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lhotse import RecordingSet, SupervisionSet
from lhotse.recipes import download_musan, prepare_musan

from tests.replicas import musan
from tests.replicas.folders import digests

Manifests = dict[str, dict[str, RecordingSet | SupervisionSet]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return musan.make(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def manifests(corpus: Path) -> Manifests:
    return prepare_musan(corpus)


def test_lhotse_finds_music_speech_and_noise(manifests: Manifests) -> None:
    assert {part: len(m["recordings"]) for part, m in manifests.items()} == {
        "music": 6, "speech": 6, "noise": 6,
    }  # fmt: skip
    for part, manifest in manifests.items():
        for recording in manifest["recordings"]:
            assert recording.id.startswith(f"{part}-")
            assert recording.sampling_rate == 16000
            assert 11 <= recording.duration < 16
            samples = recording.load_audio()
            assert 0.1 < abs(samples).max() < 1
            # Most tenths of a second are not silent.
            tenths = np.abs(samples[0][: samples.size // 1600 * 1600]).reshape(-1, 1600)
            assert np.mean(tenths.max(axis=1) > 0.01) > 0.5, recording.id


def test_lhotse_reads_the_annotations_of_music(manifests: Manifests) -> None:
    music = manifests["music"]
    assert {s.recording_id for s in music["supervisions"]} == {r.id for r in music["recordings"]}
    first = next(s for s in music["supervisions"] if s.id == "music-fma-0000")
    assert first.custom == {"genres": ["rock", "country"], "vocals": True}
    assert first.speaker == "musician_0"


def test_every_source_has_annotations(corpus: Path) -> None:
    found = {str(path.parent.relative_to(corpus)) for path in corpus.glob("*/*/ANNOTATIONS")}
    assert found == {f"{kind}/{source}" for kind in musan.SOURCES for source in musan.SOURCES[kind]}


def test_downloading_again_has_nothing_to_do(corpus: Path) -> None:
    assert download_musan(corpus.parent, url="file:///nowhere") == corpus


def test_the_same_arguments_give_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert digests(musan.make(tmp_path)) == digests(corpus)


def test_silence_instead_of_sounds(tmp_path: Path) -> None:
    manifests = prepare_musan(musan.make(tmp_path, num_recordings=3, speech=False))
    for manifest in manifests.values():
        (recording,) = manifest["recordings"]
        assert 0 < abs(recording.load_audio()).max() < 1e-3


def test_too_few_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^num_recordings must be at least 3, and is 2"):
        musan.make(tmp_path, num_recordings=2)
