"""An export to Shar holds every utterance as it was, goes on, and says what it left out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet

import local.to_shar as to_shar
from icefall_sampled.data import read_cuts
from icefall_sampled.data.rejects import TooManyRejects
from tests.local.conftest import MakeCut
from tests.support.corpus import make_cuts, write_cuts
from tests.support.recipes import ROOT, run


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_cuts(tmp_path / "cuts.jsonl.gz", make_cuts(tmp_path / "feats", "utt", 25, seed=3))


def test_a_round_trip_changes_nothing(manifest: Path, tmp_path: Path) -> None:
    to_shar.main(manifest, tmp_path / "shar", shard_size=10, lossless=True, num_jobs=2)
    names = sorted(path.name for path in (tmp_path / "shar").iterdir())
    assert names == sorted(
        name for n in range(3) for name in (f"cuts.{n:06d}.jsonl.gz", f"features.{n:06d}.tar")
    )
    before, after = CutSet.from_file(manifest), read_cuts(tmp_path / "shar", argument="CUTS")
    assert len(after) == 25
    for old, new in zip(before, after, strict=True):
        assert (old.id, old.duration, old.num_frames) == (new.id, new.duration, new.num_frames)
        assert old.supervisions == new.supervisions
        np.testing.assert_array_equal(old.load_features(), new.load_features())
    lhotse = CutSet.from_shar(in_dir=tmp_path / "shar")  # lhotse reads it too
    assert [cut.id for cut in lhotse] == [cut.id for cut in before]


def test_lilcom_moves_features_by_less_than_its_step(manifest: Path, tmp_path: Path) -> None:
    to_shar.main(manifest, tmp_path / "shar")
    pairs = zip(
        CutSet.from_file(manifest), read_cuts(tmp_path / "shar", argument="CUTS"), strict=True
    )
    for old, new in pairs:
        np.testing.assert_allclose(old.load_features(), new.load_features(), atol=1 / 32)


def test_shuffled_by_the_seed_alone(manifest: Path, tmp_path: Path) -> None:
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        to_shar.main(manifest, tmp_path / name, shuffle=True, seed=seed, shard_size=10)
        orders.append([cut.id for cut in read_cuts(tmp_path / name, argument="CUTS")])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    assert any(a > b for a, b in pairwise(orders[0]))


def test_an_interrupted_export_keeps_finished_shards(manifest: Path, tmp_path: Path) -> None:
    shar = tmp_path / "shar"
    to_shar.main(manifest, shar, shard_size=10)
    kept = (shar / "features.000000.tar").read_bytes()
    (shar / "features.000000.tar").write_bytes(b"untouched")
    whole = (shar / "features.000001.tar").read_bytes()
    (shar / "features.000001.tar").unlink()
    (shar / "cuts.000001.jsonl.gz").write_bytes(b"half")
    to_shar.main(manifest, shar, shard_size=10)
    assert (shar / "features.000000.tar").read_bytes() == b"untouched"
    assert len((shar / "features.000001.tar").read_bytes()) == len(whole)
    (shar / "features.000000.tar").write_bytes(kept)
    assert len(list(read_cuts(shar, argument="CUTS"))) == 25
    with pytest.raises(ValueError, match="OUT_DIR is .*shar, it must hold nothing but this export"):
        to_shar.main(manifest, shar, shard_size=20)


def test_what_cannot_be_read_is_left_out_and_tried_again(manifest: Path, tmp_path: Path) -> None:
    broken = tmp_path / "feats/utt-007.npy"
    features = broken.read_bytes()
    broken.write_bytes(b"broken")
    with pytest.raises(TooManyRejects, match="1 of 25 .*utt-007"):
        to_shar.main(manifest, tmp_path / "shar")
    to_shar.main(manifest, tmp_path / "shar", max_rejected_percent=5)
    left = [cut.id for cut in read_cuts(tmp_path / "shar", argument="CUTS")]
    assert len(left) == 24
    assert "utt-007" not in left
    broken.write_bytes(features)
    to_shar.main(manifest, tmp_path / "shar")
    assert len(list(read_cuts(tmp_path / "shar", argument="CUTS"))) == 25
    assert (tmp_path / "shar.rejects.jsonl").read_text() == ""


def test_audio_is_exported_where_there_are_no_features(make_cut: MakeCut, tmp_path: Path) -> None:
    cuts = [make_cut(f"c{n}", seconds=0.3, seed=n) for n in range(3)]
    source = write_cuts(tmp_path / "in.jsonl.gz", cuts)
    done = run(ROOT / "local/to_shar.py", source, tmp_path / "shar", "--num-jobs", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shar/recording.000000.tar").is_file()
    for old, new in zip(cuts, read_cuts(tmp_path / "shar", argument="CUTS"), strict=True):
        np.testing.assert_allclose(old.load_audio(), new.load_audio(), atol=1e-4)
