"""Which utterances come together in a batch, in which order, and who loads them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from lhotse import CutSet
from lhotse.dataset import DynamicBucketingSampler, SimpleCutSampler
from torch.utils.data import DataLoader, Sampler

from icefall_sampled.config import DataConfig
from icefall_sampled.data import Batch, Utterances
from icefall_sampled.tokens import TokenTable


class _AnyTorchSampler(Sampler[CutSet]):
    """Stands between lhotse's samplers and torch's.

    Torch 1.13 demands a constructor argument that lhotse, written for later ones, does not give.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass


class BucketingSampler(DynamicBucketingSampler, _AnyTorchSampler):
    """Lhotse's sampler of cuts of similar duration."""


class InOrderSampler(SimpleCutSampler, _AnyTorchSampler):
    """Lhotse's sampler of cuts as they come."""


class SkipFirst(Sampler[CutSet]):
    """A sampler without its first batches: how an epoch is resumed where it stopped."""

    def __init__(self, sampler: Any, num_batches: int) -> None:
        self.sampler, self.num_batches = sampler, num_batches

    def __iter__(self) -> Iterator[CutSet]:
        """Batches of cuts."""
        # Lhotse's samplers are their own iterators and begin anew at each iter(): call it once.
        yield from islice(self.sampler, self.num_batches, None)


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
    """The training batches of one epoch, in an order that seed and epoch alone decide.

    Args:
        cuts: what `usable_cuts` chose.
        tokens: makes targets of texts.
        config: batch duration, buckets, workers.
        seed: of the whole run, the same on every rank.
        epoch: counted from 0.
        skip: batches of this epoch that were trained on already.
        rank: this process of `world_size`.
        world_size: processes; each gets the same number of batches.
    """
    if epoch < len(config.curriculum_seconds):
        longest = config.curriculum_seconds[epoch]
        cuts = CutSet.from_cuts([cut for cut in cuts if cut.duration <= longest])
        if not cuts:
            raise ValueError(
                f"data.curriculum_seconds is {config.curriculum_seconds}, epoch {epoch} must "
                f"have an utterance of at most {longest} s"
            )
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
    return _loader(tokens, SkipFirst(sampler, skip), num_workers=config.num_workers)


def ordered_batches(
    cuts: CutSet,
    tokens: TokenTable,
    *,
    max_duration_seconds: float,
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    """Every utterance of this rank once, longest first, for validation and decoding."""
    longest_first = sorted(cuts, key=lambda cut: (-cut.duration, cut.id))
    sampler = InOrderSampler(
        CutSet.from_cuts(longest_first[rank::world_size]),
        max_duration=max_duration_seconds,
        shuffle=False,
        rank=0,
        world_size=1,
    )
    return _loader(tokens, sampler, num_workers=num_workers)


def _loader(tokens: TokenTable, sampler: Any, *, num_workers: int) -> DataLoader[Batch]:
    # A worker forked from a process that holds a GPU context can hang.
    spawn = num_workers > 0 and torch.cuda.is_available()
    return DataLoader(
        Utterances(tokens),
        sampler=sampler,
        batch_size=None,
        num_workers=num_workers,
        # Torch draws a seed for the workers each time. Drawn from the global generator, it would
        # make a run that was stopped within an epoch go on with other random numbers.
        generator=torch.Generator(),
        multiprocessing_context="spawn" if spawn else None,
        worker_init_fn=_leave_interrupts_to_the_parent,
    )


def _leave_interrupts_to_the_parent(worker: int) -> None:
    """A terminal's Ctrl-C reaches workers too; training wants them until its step has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
