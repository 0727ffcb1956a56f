"""Batches: which utterances share one, their order, and which rank loads them.

A manifest is in memory, and each rank takes every world_size-th batch of the same sampler. From
Shar, each rank reads a part of the corpus sequentially. Its own sampler draws from a buffer of some
thousand utterances; the features come with the cuts.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset import DynamicBucketingSampler, SimpleCutSampler
from lhotse.dataset.sampling.base import TimeConstraint
from lhotse.dataset.sampling.dynamic_bucketing import estimate_duration_buckets
from torch.utils.data import DataLoader, Sampler

from icefall_sampled.config import DataConfig
from icefall_sampled.data.batch import Batch, Utterances
from icefall_sampled.data.noise import Noise, noise_of
from icefall_sampled.data.shar import Shar, shar_of
from icefall_sampled.errors import UserError
from icefall_sampled.tokens import TokenTable

SHAR_BUFFER = 5000  # utterances in memory from which batches are drawn
SHAR_SORTED = 1000  # utterances in a run that `ordered_batches` sorts by length
_BINS_FROM = 10_000  # utterances, at most, from which the buckets are estimated


class _AnyTorchSampler(Sampler[CutSet]):
    """Makes lhotse's samplers work with every torch.

    Torch 1.13's `Sampler` needs a constructor argument that lhotse, written for later versions,
    does not pass.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass


class BucketingSampler(DynamicBucketingSampler, _AnyTorchSampler):
    """Lhotse's sampler of cuts of similar duration."""


class InOrderSampler(SimpleCutSampler, _AnyTorchSampler):
    """Lhotse's sampler of cuts in their given order."""


class SkipFirst(Sampler[CutSet]):
    """A sampler without its first batches, to resume an epoch where it stopped.

    Args:
        sampler: one of lhotse's.
        num_batches: how many batches to skip.
        stop: number of batches after which the epoch ends, skipped ones included.
    """

    def __init__(self, sampler: Any, num_batches: int, stop: int | None = None) -> None:
        self.sampler, self.num_batches, self.stop = sampler, num_batches, stop

    def __iter__(self) -> Iterator[CutSet]:
        """Batches of cuts."""
        # Lhotse's samplers are their own iterators and restart at each iter(): call it once.
        stop = None if self.stop is None else max(self.stop, self.num_batches)
        yield from islice(self.sampler, self.num_batches, stop)


def epoch_batches(
    cuts: CutSet,
    tokens: TokenTable,
    config: DataConfig,
    *,
    seed: int,
    epoch: int,
    skip: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    """The training batches of one epoch, in a reproducible shuffled order.

    The order depends on seed and epoch alone.

    Args:
        cuts: the result of `usable_cuts`.
        tokens: converts texts to targets.
        config: batch duration, buckets, workers, noise.
        seed: of the whole run, the same on every rank.
        epoch: counted from 0.
        skip: batches of this epoch that were trained on already.
        rank: this process of `world_size`.
        world_size: processes; each gets the same number of batches.
    """
    if epoch < len(config.curriculum_seconds):
        cuts = _no_longer_than(cuts, config.curriculum_seconds[epoch])
        if not len(cuts):
            raise UserError(
                f"data.curriculum_seconds is {config.curriculum_seconds}, epoch {epoch} must "
                f"have an utterance of at most {config.curriculum_seconds[epoch]} s"
            )
    noise = noise_of(config, seed=seed, epoch=epoch)
    shar = shar_of(cuts)
    if shar is not None:
        batches = _shar_batches(
            shar, config, seed=seed, epoch=epoch, skip=skip, rank=rank, world_size=world_size
        )
        return _loader(tokens, batches, num_workers=config.num_workers, noise=noise)
    num_buckets = min(config.num_buckets, len(cuts) // 4)
    sampler = BucketingSampler(
        cuts,
        max_duration=config.max_duration_seconds,
        num_buckets=num_buckets,
        duration_bins=None if num_buckets > 1 else [],  # lhotse cannot estimate a single bucket
        shuffle=True,
        drop_last=world_size > 1,
        seed=seed,
        rank=rank,
        world_size=world_size,
    )
    sampler.set_epoch(epoch)
    batches = SkipFirst(sampler, skip)
    return _loader(tokens, batches, num_workers=config.num_workers, noise=noise)


def _no_longer_than(cuts: CutSet, seconds: float) -> CutSet:
    shar = shar_of(cuts)
    if shar is not None:
        return CutSet(shar.no_longer_than(seconds))
    return CutSet.from_cuts([cut for cut in cuts if cut.duration <= seconds])


class _Stream:
    """Cuts of some parts of Shar, read anew in each iteration."""

    def __init__(self, read: Any, parts: list[tuple[int, int, int]]) -> None:
        self._read, self._parts = read, parts

    def __iter__(self) -> Iterator[Cut]:
        return self._read(self._parts)


def _shar_batches(
    shar: Shar, config: DataConfig, *, seed: int, epoch: int, skip: int, rank: int, world_size: int
) -> SkipFirst:
    """The batches of one rank, in an order that depends on seed, epoch and its share alone.

    Samplers use only durations. So each rank can count the batches of every rank without reading
    features, and all ranks end the epoch after the smallest of these counts.
    """
    num_buckets = min(config.num_buckets, len(shar) // 4)
    bins: list[float] = []
    if num_buckets > 1:
        constraint = TimeConstraint(max_duration=config.max_duration_seconds)
        everything = shar.outlines(shar.parts(rank=0, world_size=1))
        some = islice(everything, 0, None, 1 + len(shar) // _BINS_FROM)
        bins = estimate_duration_buckets(some, num_buckets, constraint)

    def sampler(cuts: Iterable[Cut]) -> BucketingSampler:
        made = BucketingSampler(
            cuts, max_duration=config.max_duration_seconds, duration_bins=bins, shuffle=True,
            buffer_size=SHAR_BUFFER, seed=seed, rank=0, world_size=1,
        )  # fmt: skip
        made.set_epoch(epoch)
        return made

    shares = [
        shar.parts(rank=r, world_size=world_size, order=random.Random(f"{seed} {epoch}"))
        for r in range(world_size)
    ]
    stop = None
    if world_size > 1:
        stop = min(sum(1 for _ in sampler(_Stream(shar.outlines, part))) for part in shares)
    return SkipFirst(sampler(_Stream(shar.read, shares[rank])), skip, stop)


def ordered_batches(
    cuts: CutSet,
    tokens: TokenTable,
    *,
    max_duration_seconds: float,
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    """Every utterance of this rank once, longest first, for validation and decoding.

    From Shar they come in file order, sorted by length within runs of `SHAR_SORTED`.
    """
    shar = shar_of(cuts)
    if shar is not None:
        parts = shar.parts(rank=rank, world_size=world_size)
        share = CutSet(_SortedRuns(_Stream(shar.read, parts)))
    else:
        share = CutSet.from_cuts(_longest_first(cuts)[rank::world_size])
    sampler = InOrderSampler(
        share,
        max_duration=max_duration_seconds,
        shuffle=False,
        rank=0,
        world_size=1,
    )
    return _loader(tokens, sampler, num_workers=num_workers)


def _longest_first(cuts: Iterable[Cut]) -> list[Cut]:
    return sorted(cuts, key=lambda cut: (-cut.duration, cut.id))


class _SortedRuns:
    """Cuts in their given order, but longest first within runs of `SHAR_SORTED`."""

    def __init__(self, cuts: Iterable[Cut]) -> None:
        self._cuts = cuts

    def __iter__(self) -> Iterator[Cut]:
        cuts = iter(self._cuts)
        while run := list(islice(cuts, SHAR_SORTED)):
            yield from _longest_first(run)


def _loader(
    tokens: TokenTable, sampler: Any, *, num_workers: int, noise: Noise | None = None
) -> DataLoader[Batch]:
    # A worker forked from a process that holds a GPU context can hang.
    spawn = num_workers > 0 and torch.cuda.is_available()
    return DataLoader(
        Utterances(tokens, noise),
        sampler=sampler,
        batch_size=None,
        num_workers=num_workers,
        # Torch draws a seed for the workers in each iteration. Drawn from the global generator, it
        # would change the random numbers of a run that is resumed within an epoch.
        generator=torch.Generator(),
        multiprocessing_context="spawn" if spawn else None,
        worker_init_fn=_leave_interrupts_to_the_parent,
    )


def _leave_interrupts_to_the_parent(worker: int) -> None:
    """Ignore a terminal's Ctrl-C in workers: training needs them until its step has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
