"""Each fault is found, reported by id, and counted."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet, KaldifeatFbank, LilcomChunkyWriter
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from icefall_sampled.data.rejects import TooManyRejects
from local import train_bpe, validate
from tests.local.conftest import MakeCut

pytest.importorskip("kaldifeat")


@pytest.fixture
def good(make_cut: MakeCut, tmp_path: Path) -> Cut:
    extractor = KaldifeatFbank()
    with LilcomChunkyWriter(tmp_path / "feats", mode="wb") as writer:
        return make_cut("good").compute_and_store_features(extractor, writer)


def with_text(cut: Cut, text: str | None) -> Cut:
    return fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], text=text)])


def fault(cut: Cut, **options: object) -> str | None:
    return validate.find_fault(cut, **{"tokens": None, "subsampling": 4, **options})


def test_faults_of_features_and_text(good: Cut, tmp_path: Path) -> None:
    assert fault(good) is None
    assert fault(with_text(good, " ")) == "empty transcript"
    assert fault(with_text(good, None)) == "empty transcript"
    assert "supervisions" in (fault(good.drop_supervisions()) or "")
    for expected, array in (
        ("shape", np.zeros((100, 40), np.float32)),
        ("frames are stored", np.zeros((90, 80), np.float32)),
    ):
        path = tmp_path / expected
        with LilcomChunkyWriter(path, mode="wb") as writer:
            key = writer.write("x", array)
        features = fastcopy(good.features, storage_path=str(path) + ".lca", storage_key=key)
        assert expected in (fault(fastcopy(good, features=features)) or "")
    gone = fastcopy(good.features, storage_path=str(tmp_path / "gone"))
    assert "cannot be read" in (fault(fastcopy(good, features=gone)) or "")


def test_features_that_are_not_finite(good: Cut, tmp_path: Path) -> None:
    array = np.zeros((100, 80), np.float32)
    array[50, 3] = np.nan
    path = tmp_path / "nan.npy"
    np.save(path, array)
    features = fastcopy(
        good.features, storage_type="numpy_files", storage_path=str(tmp_path), storage_key=path.name
    )
    assert fault(fastcopy(good, features=features)) == "features that are not finite"


def test_faults_of_labels(good: Cut, make_cut: MakeCut, tmp_path: Path) -> None:
    source = tmp_path / "cuts.jsonl.gz"
    CutSet.from_cuts([make_cut("t", text="hello hello world press one two")]).to_file(source)
    train_bpe.main(source, tmp_path / "lang", vocab_size=15)
    cuts = [
        good,
        with_text(good.with_id("odd"), "жук"),
        with_text(good.with_id("long"), "hello " * 26),
    ]
    found, unknown = validate.find_faults(cuts, lang_dir=tmp_path / "lang", subsampling=4)
    faults = dict(found)
    assert set(faults) == {"odd", "long"}
    assert "outside the table" in faults["odd"]
    assert "encoder frames needed for its labels" in faults["long"]
    assert unknown == 1


def test_the_unknown_may_be_allowed_and_is_counted(
    good: Cut, make_cut: MakeCut, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, path = tmp_path / "train.jsonl.gz", tmp_path / "test.jsonl.gz"
    CutSet.from_cuts([make_cut("t", text="hello hello world press one two")]).to_file(source)
    train_bpe.main(source, tmp_path / "lang", vocab_size=15)
    CutSet.from_cuts([good, with_text(good.with_id("odd"), "жук")]).to_file(path)
    with pytest.raises(TooManyRejects, match="1 of 2"):
        validate.main((path,), lang_dir=tmp_path / "lang", num_jobs=1)
    with caplog.at_level(logging.INFO):
        validate.main((path,), lang_dir=tmp_path / "lang", num_jobs=1, allow_unknown=True)
    assert "1 utterances hold a token outside the table" in caplog.text
    assert "0 of 2 utterances have a fault" in caplog.text


def test_reported_by_id_and_limited(
    good: Cut, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cuts = [good, with_text(good.with_id("bad"), "")]
    path = tmp_path / "cuts.jsonl.gz"
    CutSet.from_cuts(cuts).to_file(path)
    with pytest.raises(TooManyRejects, match="1 of 2"):
        validate.main((path,), num_jobs=1)
    with caplog.at_level(logging.WARNING):
        validate.main((path,), num_jobs=1, max_rejected_percent=50)
    assert "left out bad: empty transcript" in caplog.text


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no manifests"):
        validate.main(())
    with pytest.raises(ValueError, match="word_tokens.txt or tokens.txt"):
        validate.main((tmp_path / "gone",), lang_dir=tmp_path)
    with pytest.raises(ValueError, match=r"^CUTS is .*gone, it must"):
        validate.main((tmp_path / "gone",))
