"""Noise in training batches: how much, how loud, and the same for the same seed and epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, KaldifeatFbank, KaldifeatFbankConfig, Recording, SupervisionSegment

from icefall_sampled.config import Config, DataConfig, check
from icefall_sampled.data import Batch
from icefall_sampled.data.loading import epoch_batches
from icefall_sampled.tokens import TokenTable, load_tokens
from tests.support.corpus import write_cuts, write_tokens

SNR = (5.0, 8.0)
CONFIG = DataConfig(
    max_duration_seconds=6.0, num_buckets=2, num_workers=0, noise_percent=60.0, noise_snr=SNR
)


def sounds(folder: Path, name: str, *, seconds: list[float], text: str | None) -> CutSet:
    """Cuts of white noise with stored features, some loud and some not."""
    random = np.random.default_rng(len(seconds))
    cuts = []
    folder.mkdir(exist_ok=True)
    for number, length in enumerate(seconds):
        path = folder / f"{name}{number}.wav"
        samples = random.normal(scale=0.02 * (1 + number % 4), size=int(16000 * length))
        soundfile.write(path, samples, 16000)
        cut = Recording.from_file(path).to_cut()
        cut.id = path.stem
        if text:
            cut.supervisions = [
                SupervisionSegment(
                    id=cut.id, recording_id=cut.id, start=0, duration=cut.duration, text=text
                )
            ]
        cuts.append(cut)
    extractor = KaldifeatFbank(KaldifeatFbankConfig())
    stored = CutSet.from_cuts(cuts).compute_and_store_features(
        extractor, storage_path=folder / f"{name}-feats", num_jobs=1
    )
    return CutSet.from_cuts(cut.drop_recording() for cut in stored)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("noise")
    write_tokens(made / "lang")
    lengths = [0.7 + 0.037 * n for n in range(30)]
    write_cuts(made / "speech.jsonl.gz", sounds(made, "speech", seconds=lengths, text="abc"))
    write_cuts(made / "noise.jsonl.gz", sounds(made, "noise", seconds=[3.0, 5.0, 9.0], text=None))
    write_cuts(made / "short.jsonl.gz", sounds(made, "short", seconds=[0.3, 0.4], text=None))
    return made


@pytest.fixture(scope="module")
def tokens(folder: Path) -> TokenTable:
    return load_tokens(folder / "lang")


def batches(
    folder: Path, tokens: TokenTable, config: DataConfig, **arguments: int
) -> dict[str, torch.Tensor]:
    """The features of each utterance of an epoch, which are as long as the batch says."""
    cuts = CutSet.from_file(folder / "speech.jsonl.gz").to_eager()
    found: dict[str, torch.Tensor] = {}
    batch: Batch
    for batch in epoch_batches(cuts, tokens, config, **{"seed": 1, "epoch": 0, **arguments}):
        assert batch.rejected == []
        assert set(batch.texts) == {"abc"}
        for name, features, length in zip(batch.ids, batch.features, batch.lengths, strict=True):
            found[name] = features[:length]
    return found


def test_a_share_of_the_utterances_is_as_noisy_as_was_asked_for(
    folder: Path, tokens: TokenTable
) -> None:
    clean = batches(folder, tokens, CONFIG)
    noisy = batches(folder, tokens, replace(CONFIG, noise_cuts=folder / "noise.jsonl.gz"))
    assert list(noisy) == list(clean)
    touched = [name for name in clean if not torch.equal(clean[name], noisy[name])]
    assert 8 <= len(touched) <= 26
    ratios = []
    for name in touched:
        assert noisy[name].shape == clean[name].shape
        speech = clean[name].double().exp().sum()
        ratios.append(float(10 * torch.log10(speech / (noisy[name].double().exp().sum() - speech))))
    # Features are energies: what noise adds to them is not quite its own.
    assert min(ratios) > SNR[0] - 0.5
    assert max(ratios) < SNR[1] + 0.5
    assert max(ratios) - min(ratios) > 1


def test_noise_that_is_shorter_than_speech_is_joined(folder: Path, tokens: TokenTable) -> None:
    config = replace(CONFIG, noise_cuts=folder / "short.jsonl.gz", noise_percent=100.0)
    clean, noisy = batches(folder, tokens, CONFIG), batches(folder, tokens, config)
    for name, features in noisy.items():
        changed = (features - clean[name]).abs().amax(1) > 0
        assert changed[:-10].all()  # lhotse leaves the last 0.05 s alone, rounded to frames


def test_noise_follows_from_seed_epoch_and_batch(folder: Path, tokens: TokenTable) -> None:
    config = replace(CONFIG, noise_cuts=folder / "noise.jsonl.gz")
    first = batches(folder, tokens, config)
    for arguments in ({}, {"skip": 3}):
        for workers in (0, 2):
            again = batches(folder, tokens, replace(config, num_workers=workers), **arguments)
            assert 0 < len(again) <= len(first)
            assert all(torch.equal(first[name], again[name]) for name in again)
    for other in ({"epoch": 1}, {"seed": 2}):
        later = batches(folder, tokens, config, **other)
        assert sum(torch.equal(first[name], later[name]) for name in first) < 20


def test_what_is_said_in_the_noise_is_no_target(folder: Path, tokens: TokenTable) -> None:
    """`batches` checks the texts."""
    config = replace(CONFIG, noise_cuts=folder / "speech.jsonl.gz", noise_percent=100.0)
    clean, noisy = batches(folder, tokens, CONFIG), batches(folder, tokens, config)
    assert all(not torch.equal(clean[name], noisy[name]) for name in clean)


def test_no_share_is_clean_speech(folder: Path, tokens: TokenTable) -> None:
    silent = replace(CONFIG, noise_cuts=folder / "noise.jsonl.gz", noise_percent=0.0)
    clean, found = batches(folder, tokens, CONFIG), batches(folder, tokens, silent)
    assert all(torch.equal(clean[name], found[name]) for name in clean)


def test_what_is_no_noise_is_one_sentence(folder: Path, tokens: TokenTable, tmp_path: Path) -> None:
    for path, gist in ((tmp_path / "no.jsonl.gz", "existing manifest"), (tmp_path / "e.jsonl", "")):
        (tmp_path / "e.jsonl").touch()
        with pytest.raises(ValueError, match=f"^data.noise_cuts is {path}.*{gist}") as error:
            batches(folder, tokens, replace(CONFIG, noise_cuts=path))
        assert "\n" not in str(error.value)
    for fields, gist in (
        ({"noise_snr": (9.0, 3.0)}, "two ratios, the lower one first"),
        ({"noise_percent": 101.0}, "from 0 to 100"),
    ):
        with pytest.raises(ValueError, match=gist):
            check(Config(data=replace(DataConfig(), **fields)))
