"""What is left out and why, and what a batch holds."""

from __future__ import annotations

import gzip
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet, MonoCut, Recording, RecordingSet
from lhotse.features.kaldifeat import KaldifeatFbank, KaldifeatFbankConfig

from icefall_sampled.config import DataConfig
from icefall_sampled.data import (
    Utterances,
    is_speed_perturbed,
    read_cuts,
    usable_cuts,
    why_unusable,
)
from icefall_sampled.data.cuts import read_manifest
from icefall_sampled.data.rejects import TooManyRejects
from icefall_sampled.errors import UserError
from icefall_sampled.tokens import TokenTable, load_tokens
from tests.support.corpus import beeps, make_cut, make_cuts, write_cuts, write_tokens
from tests.support.tiny import by_four

CONFIG = DataConfig(
    max_duration_seconds=3.0, max_utterance_seconds=2.0, num_buckets=3, num_workers=0
)


@pytest.fixture
def tokens(tmp_path: Path) -> TokenTable:
    return load_tokens(write_tokens(tmp_path / "lang"))


@pytest.fixture
def cuts(tmp_path: Path) -> CutSet:
    return CutSet.from_cuts(make_cuts(tmp_path / "feats", "utt", 40, seed=3))


def cut_of(folder: Path, name: str, text: str | None, *, frames: int = 60) -> MonoCut:
    return make_cut(folder, name, np.zeros((frames, 80), dtype=np.float32), text)


@pytest.mark.parametrize(
    ("text", "frames", "reason"),
    [
        ("abc", 60, None),
        ("", 60, "empty transcript"),
        (None, 60, "empty transcript"),
        ("  ", 60, "empty transcript"),
        ("abx", 60, "token outside the table in 'abx'"),
        ("abcde", 23, None),
        ("abcdef", 23, "6 encoder frames needed for its labels, 5 there"),
        ("abccd", 23, "6 encoder frames needed for its labels, 5 there"),
        ("a", 5, "1 encoder frames needed for its labels, 0 there"),
    ],
)
def test_reasons(
    tmp_path: Path, tokens: TokenTable, text: str | None, frames: int, reason: str | None
) -> None:
    # (23 - 3) // 2 + 1 = 11 frames after the first convolution, (11 - 3) // 2 + 1 = 5 in the end.
    cut = cut_of(tmp_path / "feats", "utt", text, frames=frames)
    assert why_unusable(cut, tokens, output_frames=by_four) == reason
    if text == "abx":
        assert why_unusable(cut, tokens, output_frames=by_four, allow_unknown=True) is None


def test_unusable_utterances_are_reported_left_out_and_counted(
    tmp_path: Path, tokens: TokenTable, cuts: CutSet, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "feats"
    bad = [
        cut_of(folder, "silent", ""),
        cut_of(folder, "foreign", "xyz"),
        cut_of(folder, "hasty", "abcdefghijabcdefghij", frames=40),
    ]
    chosen_away = [cut_of(folder, "long", "abc", frames=500), cut_of(folder, "short", "", frames=9)]
    everything = CutSet.from_cuts([*cuts, *bad, *chosen_away])
    config = replace(CONFIG, max_rejected_percent=10.0)
    with caplog.at_level(logging.WARNING):
        usable, rejects = usable_cuts(everything, tokens, config, output_frames=by_four)
    assert [cut.id for cut in usable] == [cut.id for cut in cuts]
    assert [r.utterance_id for r in rejects.rejects] == ["silent", "foreign", "hasty"]
    assert (rejects.count, rejects.total) == (3, 43)
    for name in ("silent", "foreign", "hasty"):
        assert f"left out {name}: " in caplog.text
    assert "long" not in caplog.text


def test_more_than_one_percent_stops_with_the_option_named(
    tmp_path: Path, tokens: TokenTable, cuts: CutSet
) -> None:
    everything = CutSet.from_cuts([*cuts, cut_of(tmp_path / "feats", "silent", "")])
    with pytest.raises(
        TooManyRejects,
        match=r"1 of 41 .* more than the 1 % .*silent: empty.*--data.max-rejected-percent",
    ):
        usable_cuts(everything, tokens, CONFIG, output_frames=by_four, quiet=True)


def test_speed_perturbed_is_what_lhotse_made_so() -> None:
    for name in ("utt_spk1_3", "a_sp", "a_sp0.9-1", "a_spk3", "sp0.9", "a_sp1.", "a"):
        assert not is_speed_perturbed(name)
    audio = MonoCut(
        "utt_spk1_3", 0, 1.0, 0, recording=Recording("r", [], 16000, 16000, duration=1.0)
    )
    for factor in (0.9, 1.1, 2):
        assert is_speed_perturbed(audio.perturb_speed(factor).id)
    assert not is_speed_perturbed(audio.id)


def test_speed_perturbed_copies_are_used_where_wanted(tokens: TokenTable, cuts: CutSet) -> None:
    copies = [cut.with_id(f"{cut.id}_sp0.9") for cut in cuts.subset(first=5)]
    both = CutSet.from_cuts([*cuts, *copies])
    for wanted, count in ((True, 45), (False, 40)):
        config = replace(CONFIG, speed_perturbed=wanted)
        usable, _ = usable_cuts(both, tokens, config, output_frames=by_four, quiet=True)
        assert len(usable) == count


def test_nothing_to_train_on_is_an_error(tokens: TokenTable, cuts: CutSet) -> None:
    config = replace(CONFIG, min_utterance_seconds=100.0)
    with pytest.raises(ValueError, match="data: none of 0 utterances can be used"):
        usable_cuts(cuts, tokens, config, output_frames=by_four, quiet=True)


def test_missing_and_damaged_manifests_are_named(tmp_path: Path, tokens: TokenTable) -> None:
    with pytest.raises(ValueError, match="data.train_cuts is .*none.jsonl.gz, it must be an exist"):
        read_cuts(tmp_path / "none.jsonl.gz", argument="data.train_cuts")
    path = write_cuts(tmp_path / "cuts.jsonl.gz", make_cuts(tmp_path / "feats", "u", 30, seed=3))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no gzip", gzip.compress(b'{"half": ')):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cuts\.jsonl\.gz"):
            usable_cuts(
                read_cuts(path, argument="data.train_cuts"), tokens, CONFIG, output_frames=by_four,
                quiet=True,
            )  # fmt: skip


def test_manifests_of_recordings_are_whole_or_named(tmp_path: Path) -> None:
    path = tmp_path / "recordings.jsonl.gz"
    with pytest.raises(UserError, match="^recordings is .*gz, it must be an existing manifest$"):
        read_manifest(RecordingSet, path, argument="recordings")
    recording = Recording(id="a", sources=[], sampling_rate=16000, num_samples=8, duration=0.0005)
    RecordingSet.from_recordings([recording]).to_file(path)
    assert list(read_manifest(RecordingSet, path, argument="recordings")) == [recording]
    for damaged in (b"no gzip", path.read_bytes()[:-12], gzip.compress(b'{"half": ')):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="^recordings is .*gz, which cannot be read: ") as error:
            read_manifest(RecordingSet, path, argument="recordings")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "gist"),
    [
        ('{"id": "half', "Invalid control character"),
        ('{"colour": 3}', ""),
        ("3", ""),
        ('{"id": "r", "sources": [], "sampling_rate": 8000, "num_samples": 8, "duration": 0.001}',
         "line 31 holds a Recording, not a cut"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_cut_is_one_sentence(
    tmp_path: Path, tokens: TokenTable, line: str, gist: str
) -> None:
    path = write_cuts(tmp_path / "cuts.jsonl.gz", make_cuts(tmp_path / "feats", "u", 30, seed=3))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + line.encode() + b"\n"))
    cuts = read_cuts(path, argument="data.dev_cuts")
    with pytest.raises(ValueError, match=f"^data.dev_cuts is .*gz, which cannot .*{gist}") as error:
        usable_cuts(cuts, tokens, CONFIG, output_frames=by_four, quiet=True)
    assert "\n" not in str(error.value)


def test_a_batch_is_padded_with_zeros(tmp_path: Path, tokens: TokenTable) -> None:
    random = np.random.RandomState(0)
    rows = {"abc": beeps("abc", random), "jj": beeps("jj", random)}
    cuts = [make_cut(tmp_path, name, features, name) for name, features in rows.items()]
    batch = Utterances(tokens)[CutSet.from_cuts(cuts)]
    assert batch.ids == batch.texts == ["abc", "jj"]
    assert batch.lengths.tolist() == [36, 24]
    assert batch.targets.tolist() == [[2, 3, 4], [11, 11, 0]]
    assert batch.target_lengths.tolist() == [3, 2]
    assert batch.duration_seconds == pytest.approx(0.6)
    assert batch.rejected == []
    for n, features in enumerate(rows.values()):
        assert np.array_equal(batch.features[n, : len(features)].numpy(), features)
        assert not batch.features[n, len(features) :].any()


def test_unreadable_features_are_left_out_of_the_batch(tmp_path: Path, tokens: TokenTable) -> None:
    cuts = make_cuts(tmp_path, "utt", 4, seed=3)
    (tmp_path / "utt-000.npy").write_bytes(b"\x93NUMPY broken")
    (tmp_path / "utt-001.npy").unlink()
    np.save(tmp_path / "utt-002.npy", np.full((40, 80), np.nan, dtype=np.float32))
    batch = Utterances(tokens)[CutSet.from_cuts(cuts)]
    assert batch.ids == ["utt-003"]
    assert [name for name, _ in batch.rejected] == ["utt-000", "utt-001", "utt-002"]
    assert all(
        why.startswith("unreadable: ") and "\n" not in why and len(why) < 300
        for _, why in batch.rejected
    )
    nothing = Utterances(tokens)[CutSet.from_cuts(cuts[:3])]
    assert nothing.ids == []
    assert nothing.features.shape == (0, 0, 80)
    assert nothing.targets.shape == (0, 0)


def test_features_of_another_width_are_left_out(tmp_path: Path, tokens: TokenTable) -> None:
    narrow = make_cut(tmp_path, "narrow", np.zeros((40, 40), dtype=np.float32), "ab")
    usual = cut_of(tmp_path, "usual", "ab")
    batch = Utterances(tokens)[CutSet.from_cuts([narrow, usual])]
    assert batch.ids == ["usual"]
    assert "40" in batch.rejected[0][1]


def test_features_on_the_fly_equal_stored_ones(tmp_path: Path, tokens: TokenTable) -> None:
    import soundfile

    random = np.random.RandomState(5)
    cuts = []
    for name, seconds in (("a", 0.6), ("b", 0.437)):
        samples = (0.1 * random.standard_normal(int(16000 * seconds))).astype(np.float32)
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        recording = Recording.from_file(tmp_path / f"{name}.wav", recording_id=name)
        text = cut_of(tmp_path / "text", name, "abc").supervisions[0]
        cut = recording.to_cut()
        cut.supervisions = [replace(text, duration=cut.duration)]
        cuts.append(cut)
    audio = CutSet.from_cuts(cuts)
    extractor = KaldifeatFbank(KaldifeatFbankConfig())
    stored = audio.compute_and_store_features(
        extractor, storage_path=tmp_path / "stored", num_jobs=1
    ).drop_recordings()
    fresh, kept = Utterances(tokens)[audio], Utterances(tokens)[stored]
    assert fresh.rejected == kept.rejected == []
    assert fresh.lengths.tolist() == kept.lengths.tolist()
    assert why_unusable(cuts[0], tokens, output_frames=by_four) is None
    torch.testing.assert_close(fresh.features, kept.features, rtol=0, atol=1e-2)
