"""Shar in a manifest's place: the same utterances, in shares, in an order, and after damage."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, product
from pathlib import Path

import pytest

import local.to_shar as to_shar
from icefall_sampled.config import DataConfig
from icefall_sampled.data import read_cuts, usable_cuts
from icefall_sampled.data.loading import epoch_batches, ordered_batches
from icefall_sampled.data.shar import shar_of
from icefall_sampled.tokens import TokenTable, load_tokens
from tests.support.corpus import make_cut, make_cuts, write_cuts, write_tokens
from tests.support.tiny import by_four

CONFIG = DataConfig(
    max_duration_seconds=3.0, max_utterance_seconds=2.0, num_buckets=3, num_workers=0,
    max_rejected_percent=10.0,
)  # fmt: skip
NUM_UTTERANCES = 47


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One manifest, exported in one shard, and in seven."""
    folder = tmp_path_factory.mktemp("shar")
    cuts = make_cuts(folder / "feats", "utt", NUM_UTTERANCES, seed=3)
    manifest = write_cuts(folder / "cuts.jsonl.gz", cuts)
    to_shar.main(manifest, folder / "one", lossless=True, num_jobs=1)
    to_shar.main(manifest, folder / "seven", lossless=True, num_jobs=1, shard_size=7)
    write_tokens(folder / "lang")
    return folder


@pytest.fixture(scope="module")
def tokens(corpus: Path) -> TokenTable:
    return load_tokens(corpus / "lang")


def batches_of(
    path: Path, tokens: TokenTable, config: DataConfig = CONFIG, **arguments: int
) -> list[list[str]]:
    cuts, _ = usable_cuts(
        read_cuts(path, argument="data.train_cuts"),
        tokens,
        config,
        output_frames=by_four,
        quiet=True,
    )
    loader = epoch_batches(cuts, tokens, config, **{"seed": 1, "epoch": 0, **arguments})
    batches = list(loader)
    assert all(batch.rejected == [] for batch in batches)
    return [batch.ids for batch in batches]


def test_one_shard_gives_the_batches_of_the_manifest(corpus: Path, tokens: TokenTable) -> None:
    for epoch in range(3):
        expected = batches_of(corpus / "cuts.jsonl.gz", tokens, epoch=epoch)
        assert batches_of(corpus / "one", tokens, epoch=epoch) == expected


def test_shards_come_in_another_order_in_each_epoch(corpus: Path, tokens: TokenTable) -> None:
    names = [f"utt-{n:03d}" for n in range(NUM_UTTERANCES)]
    epochs = [batches_of(corpus / "seven", tokens, epoch=epoch) for epoch in (0, 1, 0)]
    assert epochs[0] == epochs[2] != epochs[1]
    assert all(sorted(chain.from_iterable(epoch)) == names for epoch in epochs)
    assert batches_of(corpus / "seven", tokens, seed=2) != epochs[0]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_skipping_gives_the_same_remaining_batches(
    corpus: Path, tokens: TokenTable, num_workers: int
) -> None:
    config = replace(CONFIG, num_workers=num_workers)
    for world_size in (1, 2):
        share = {"epoch": 2, "rank": world_size - 1, "world_size": world_size}
        whole = batches_of(corpus / "seven", tokens, **share)
        for skip in (0, 1, 3, len(whole), len(whole) + 5):
            rest = batches_of(corpus / "seven", tokens, config, skip=skip, **share)
            assert rest == whole[skip:]


@pytest.mark.parametrize(("name", "world_size"), product(["one", "seven"], [2, 3, 8]))
def test_ranks_share_the_utterances_and_end_together(
    corpus: Path, tokens: TokenTable, name: str, world_size: int
) -> None:
    """No utterance comes twice, and few are left over when the shortest share ends."""
    shares = [
        batches_of(corpus / name, tokens, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in shares}) == 1
    seen = [name for batches in shares for batch in batches for name in batch]
    assert len(set(seen)) == len(seen)
    assert len(seen) >= NUM_UTTERANCES / 2 or world_size == 8
    cuts, _ = usable_cuts(
        read_cuts(corpus / name, argument=""), tokens, CONFIG, output_frames=by_four, quiet=True
    )
    shar = shar_of(cuts)
    assert shar is not None
    parts = [shar.parts(rank=rank, world_size=world_size) for rank in range(world_size)]
    read = [cut.id for part in parts for cut in shar.read(part)]
    assert sorted(read) == [f"utt-{n:03d}" for n in range(NUM_UTTERANCES)]
    for part in parts:
        outlines = [cut.duration for cut in shar.outlines(part)]
        assert outlines == [cut.duration for cut in shar.read(part)]


@pytest.mark.parametrize("world_size", [1, 2, 9])
def test_ordered_batches_cover_every_utterance_once(
    corpus: Path, tokens: TokenTable, world_size: int
) -> None:
    cuts = read_cuts(corpus / "seven", argument="data.dev_cuts")
    cuts, _ = usable_cuts(cuts, tokens, CONFIG, output_frames=by_four, quiet=True)
    seen = []
    for rank in range(world_size):
        for batch in ordered_batches(
            cuts, tokens, max_duration_seconds=3.0, rank=rank, world_size=world_size
        ):
            seen += batch.ids
    assert sorted(seen) == [f"utt-{n:03d}" for n in range(NUM_UTTERANCES)]


def test_the_curriculum_and_the_checks_are_those_of_a_manifest(
    corpus: Path, tokens: TokenTable, tmp_path: Path
) -> None:
    cuts = make_cuts(tmp_path / "feats", "utt", 40, seed=5)
    longest = sorted(cut.duration for cut in cuts)[15]
    for number, text in ((3, "xyz"), (8, ""), (9, "abc" * 40)):
        features = cuts[number].load_features()
        cuts[number] = make_cut(tmp_path / "feats", f"bad-{number}", features, text)
    manifest = write_cuts(tmp_path / "cuts.jsonl.gz", cuts)
    to_shar.main(manifest, tmp_path / "shar", shard_size=9, num_jobs=1)
    found = []
    for path in (manifest, tmp_path / "shar"):
        chosen, rejects = usable_cuts(
            read_cuts(path, argument=""), tokens, CONFIG, output_frames=by_four, quiet=True
        )
        config = replace(CONFIG, curriculum_seconds=(longest,))
        loader = epoch_batches(chosen, tokens, config, seed=1, epoch=0)
        ids = {utterance_id for batch in loader for utterance_id in batch.ids}
        found.append((len(chosen), rejects.total, rejects.rejects, ids))
    assert found[0] == found[1]
    assert found[0][0] == 37


def test_a_damaged_shard_costs_its_own_utterances_alone(
    corpus: Path, tokens: TokenTable, tmp_path: Path
) -> None:
    to_shar.main(corpus / "cuts.jsonl.gz", tmp_path / "shar", shard_size=7, num_jobs=1)
    tar = tmp_path / "shar/features.000002.tar"
    tar.write_bytes(tar.read_bytes()[:20000])
    (tmp_path / "shar/features.000004.tar").write_bytes(b"no tar")
    cuts, _ = usable_cuts(
        read_cuts(tmp_path / "shar", argument=""), tokens, CONFIG, output_frames=by_four, quiet=True
    )
    assert len(cuts) == NUM_UTTERANCES  # what the features are is not known before they are read
    batches = list(epoch_batches(cuts, tokens, CONFIG, seed=1, epoch=0))
    lost = {utterance_id for batch in batches for utterance_id, _ in batch.rejected}
    read = {utterance_id for batch in batches for utterance_id in batch.ids}
    assert len(lost) + len(read) == NUM_UTTERANCES
    assert {f"utt-{n:03d}" for n in range(28, 35)} < lost
    assert lost <= {f"utt-{n:03d}" for n in (*range(14, 21), *range(28, 35))}
    assert all("Shar shard is damaged" in why for batch in batches for _, why in batch.rejected)


def test_what_is_no_shar_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^data.dev_cuts is .*empty, a folder must hold lhotse"):
        read_cuts(tmp_path / "empty", argument="data.dev_cuts")
    to_shar.main(corpus / "cuts.jsonl.gz", tmp_path / "shar", shard_size=20, num_jobs=1)
    manifest = tmp_path / "shar/cuts.000001.jsonl.gz"
    manifest.write_bytes(manifest.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cuts.000001.jsonl.gz cannot be read: "):
        list(read_cuts(tmp_path / "shar", argument="data.dev_cuts"))
    (tmp_path / "shar/features.000002.tar").unlink()
    with pytest.raises(ValueError, match=r"must have a file features.000002.tar too"):
        read_cuts(tmp_path / "shar", argument="data.dev_cuts")
