"""Features are kaldifeat's, resumable, and honest about what could not be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet
from lhotse.cut import Cut

import local.compute_fbank as compute_fbank
from icefall_sampled.data.rejects import TooManyRejects
from tests.local.conftest import MakeCut

kaldifeat = pytest.importorskip("kaldifeat")


def compute(cuts: list[Cut], folder: Path, **options: object) -> list[Cut]:
    source, target = folder / "in.jsonl.gz", folder / "out.jsonl.gz"
    CutSet.from_cuts(cuts).to_file(source)
    compute_fbank.main(source, target, storage=folder / "feats", num_jobs=1, **options)
    return list(CutSet.from_file(target))


def direct_fbank(samples: np.ndarray) -> np.ndarray:
    """What kaldifeat gives without lhotse in between."""
    options = kaldifeat.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = False
    options.frame_opts.samp_freq = 16000
    options.mel_opts.num_bins = 80
    options.mel_opts.high_freq = -400
    options.energy_floor = 1e-10
    return kaldifeat.Fbank(options)(torch.from_numpy(samples)).numpy()


def test_equals_kaldifeat(make_cut: MakeCut, tmp_path: Path) -> None:
    one, two = make_cut("one", seconds=1.237), make_cut("two", seconds=0.5, seed=1)
    mixed = one.pad(duration=1.5).append(two).with_id("mixed").merge_supervisions()
    done = compute([one, mixed], tmp_path)
    assert [cut.id for cut in done] == ["one", "mixed"]
    for before, after in zip([one, mixed], done, strict=True):
        features = after.load_features()
        expected = direct_fbank(before.load_audio()[0])
        assert features.shape == expected.shape
        # lilcom stores multiples of 1/16 or finer, at a place shifted within that step.
        np.testing.assert_allclose(features, expected, atol=0.07)
        assert len(after.supervisions) == 1


def test_speed_perturbed_copies(make_cut: MakeCut, tmp_path: Path) -> None:
    done = compute([make_cut("a", seconds=1.8)], tmp_path, speed_perturb=True)
    assert [cut.id for cut in done] == ["a", "a_sp0.9", "a_sp1.1"]
    assert [cut.duration for cut in done] == pytest.approx([1.8, 2.0, 1.8 / 1.1], abs=1e-3)
    assert [cut.supervisions[0].text for cut in done] == ["hello"] * 3
    assert [cut.load_features().shape[0] for cut in done] == [180, 200, 164]


def test_interrupted_run_keeps_finished_shards(
    make_cut: MakeCut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute_fbank, "SHARD_SECONDS", 1.0)
    cuts = [make_cut(f"c{n}", seed=n) for n in range(3)]
    expected = [cut.load_features() for cut in compute(cuts, tmp_path)]
    shards = compute_fbank.make_shards(cuts, (tmp_path / "feats").resolve(), "out")
    assert len(shards) == 3
    kept = shards[0].features.read_bytes()
    shards[0].features.write_bytes(b"untouched")
    shards[1].manifest.unlink()
    shards[1].features.write_bytes(b"half written")
    done = compute(cuts, tmp_path)
    assert shards[0].features.read_bytes() == b"untouched"
    shards[0].features.write_bytes(kept)
    for cut, features in zip(done, expected, strict=True):
        np.testing.assert_array_equal(cut.load_features(), features)


def test_other_input_takes_no_old_features(make_cut: MakeCut, tmp_path: Path) -> None:
    first = compute([make_cut("a")], tmp_path)
    second = compute([make_cut("a", seconds=2.0)], tmp_path)
    assert second[0].load_features().shape[0] == 200
    assert not Path(first[0].features.storage_path).exists()


def test_unreadable_audio_is_left_out(make_cut: MakeCut, tmp_path: Path) -> None:
    cuts = [make_cut(f"c{n}", seconds=0.3, seed=n) for n in range(10)]
    Path(cuts[4].recording.sources[0].source).write_bytes(b"not audio")
    with pytest.raises(TooManyRejects, match="1 of 10 .*c4.*--max-rejected-percent"):
        compute(cuts, tmp_path)
    done = compute(cuts, tmp_path, max_rejected_percent=10.0)
    assert [cut.id for cut in done] == [cut.id for cut in cuts if cut.id != "c4"]


def test_a_shard_of_which_nothing_can_be_read_is_left_out(
    make_cut: MakeCut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute_fbank, "SHARD_SECONDS", 0.1)
    cuts = [make_cut(f"c{n}", seconds=0.3, seed=n) for n in range(3)]
    Path(cuts[1].recording.sources[0].source).write_bytes(b"not audio")
    done = compute(cuts, tmp_path, max_rejected_percent=40.0)
    assert [cut.id for cut in done] == ["c0", "c2"]


def test_audio_mended_after_a_refusal_is_read(make_cut: MakeCut, tmp_path: Path) -> None:
    cuts = [make_cut(f"c{n}", seconds=0.3, seed=n) for n in range(3)]
    audio = Path(cuts[1].recording.sources[0].source)
    whole = audio.read_bytes()
    audio.write_bytes(b"not audio")
    with pytest.raises(TooManyRejects, match="c1"):
        compute(cuts, tmp_path)
    assert '"c1"' in (tmp_path / "out.rejects.jsonl").read_text()
    audio.write_bytes(whole)
    assert [cut.id for cut in compute(cuts, tmp_path)] == ["c0", "c1", "c2"]
    assert (tmp_path / "out.rejects.jsonl").read_text() == ""


def test_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing.jsonl"):
        compute_fbank.main(tmp_path / "nothing.jsonl", tmp_path / "out", storage=tmp_path)
