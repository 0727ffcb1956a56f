"""In which batches utterances come, on every rank and after every stop."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet

from icefall_sampled.config import DataConfig
from icefall_sampled.data.loading import epoch_batches, ordered_batches
from icefall_sampled.tokens import TokenTable, load_tokens
from tests.support.corpus import make_cut, make_cuts, write_tokens

CONFIG = DataConfig(
    max_duration_seconds=3.0, max_utterance_seconds=2.0, num_buckets=3, num_workers=0
)


@pytest.fixture
def tokens(tmp_path: Path) -> TokenTable:
    return load_tokens(write_tokens(tmp_path / "lang"))


@pytest.fixture
def cuts(tmp_path: Path) -> CutSet:
    return CutSet.from_cuts(make_cuts(tmp_path / "feats", "utt", 40, seed=3))


def ids_of(cuts: CutSet, tokens: TokenTable, **arguments: int) -> list[list[str]]:
    return [batch.ids for batch in epoch_batches(cuts, tokens, CONFIG, **arguments)]


def test_order_depends_on_seed_and_epoch_alone(cuts: CutSet, tokens: TokenTable) -> None:
    first = ids_of(cuts, tokens, seed=1, epoch=0)
    assert sorted(chain.from_iterable(first)) == sorted(cut.id for cut in cuts)
    torch.manual_seed(99)
    np.random.seed(99)
    assert ids_of(cuts, tokens, seed=1, epoch=0) == first
    assert ids_of(cuts, tokens, seed=1, epoch=1) != first
    assert ids_of(cuts, tokens, seed=2, epoch=0) != first
    assert all(
        sum(float(cuts[name].duration) for name in batch) <= CONFIG.max_duration_seconds
        for batch in first
    )


def test_loading_batches_takes_nothing_from_the_random_state(
    cuts: CutSet, tokens: TokenTable
) -> None:
    for num_workers in (0, 1):
        before = torch.get_rng_state()
        config = replace(CONFIG, num_workers=num_workers)
        list(epoch_batches(cuts, tokens, config, seed=1, epoch=0))
        list(ordered_batches(cuts, tokens, max_duration_seconds=3.0, num_workers=num_workers))
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_skipping_gives_the_same_remaining_batches(
    cuts: CutSet, tokens: TokenTable, num_workers: int
) -> None:
    config = replace(CONFIG, num_workers=num_workers)
    whole = ids_of(cuts, tokens, seed=1, epoch=2)
    for skip in (0, 1, 3, len(whole), len(whole) + 5):
        rest = epoch_batches(cuts, tokens, config, seed=1, epoch=2, skip=skip)
        assert [batch.ids for batch in rest] == whole[skip:]


def test_the_curriculum_begins_with_short_utterances(cuts: CutSet, tokens: TokenTable) -> None:
    durations = {cut.id: cut.duration for cut in cuts}
    shorter, longer = sorted(durations.values())[9], sorted(durations.values())[19]
    config = replace(CONFIG, curriculum_seconds=(shorter, longer))
    for epoch, longest in enumerate((shorter, longer, float("inf"))):
        batches = epoch_batches(cuts, tokens, config, seed=1, epoch=epoch)
        seen = {utterance_id for batch in batches for utterance_id in batch.ids}
        assert seen == {name for name, d in durations.items() if d <= longest}
    with pytest.raises(ValueError, match=r"data.curriculum_seconds is \(0.01,\)"):
        epoch_batches(cuts, tokens, replace(CONFIG, curriculum_seconds=(0.01,)), seed=1, epoch=0)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_get_equally_many_disjoint_batches(
    cuts: CutSet, tokens: TokenTable, world_size: int
) -> None:
    per_rank = [
        ids_of(cuts, tokens, seed=1, epoch=0, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in per_rank}) == 1
    assert len(per_rank[0]) > 0
    seen = [name for batches in per_rank for batch in batches for name in batch]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ordered_batches_cover_every_utterance_once(
    cuts: CutSet, tokens: TokenTable, world_size: int
) -> None:
    seen = []
    for rank in range(world_size):
        batches = ordered_batches(
            cuts, tokens, max_duration_seconds=3.0, rank=rank, world_size=world_size
        )
        durations = [float(cuts[name].duration) for batch in batches for name in batch.ids]
        assert durations == sorted(durations, reverse=True)
        seen += [name for batch in batches for name in batch.ids]
    assert sorted(seen) == sorted(cut.id for cut in cuts)


def test_a_rank_may_have_nothing_to_validate(cuts: CutSet, tokens: TokenTable) -> None:
    one = cuts.subset(first=1)
    batches = ordered_batches(one, tokens, max_duration_seconds=3.0, rank=1, world_size=2)
    assert list(batches) == []


@pytest.mark.parametrize("same_duration", [1, 2, 9])
def test_a_corpus_of_few_lengths_has_batches(
    tmp_path: Path, tokens: TokenTable, same_duration: int
) -> None:
    few = CutSet.from_cuts(
        make_cut(tmp_path / "feats", f"utt-{i}", np.zeros((60, 80), dtype=np.float32), "abc")
        for i in range(same_duration)
    )
    seen = chain.from_iterable(ids_of(few, tokens, seed=0, epoch=0))
    assert sorted(seen) == sorted(cut.id for cut in few)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_survive_the_interrupt_that_is_meant_for_the_parent(
    tokens: TokenTable, cuts: CutSet, method: str
) -> None:
    loader = epoch_batches(cuts, tokens, replace(CONFIG, num_workers=1), seed=1, epoch=0)
    loader.multiprocessing_context = method
    batches = iter(loader)
    seen = [next(batches).ids]
    for worker in batches._workers:  # type: ignore[attr-defined]
        os.kill(worker.pid, signal.SIGINT)
    seen += [batch.ids for batch in batches]
    assert sorted(chain(*seen)) == [cut.id for cut in cuts]
