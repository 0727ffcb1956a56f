"""From lhotse cuts to padded batches.

Utterances that cannot be used (unreadable, empty, unknown token, more labels than frames) are
left out and reported by id; `Rejects` counts them and stops the run when they are too many.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset import DynamicBucketingSampler, SimpleCutSampler
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from icefall_sampled.config import DataConfig
from icefall_sampled.modeling.subsampling import subsampled_lengths
from icefall_sampled.rejects import Rejects
from icefall_sampled.tokens import TokenTable

NUM_MEL_BINS = 80

_SPEED_SUFFIX = re.compile(r"_sp\d+(\.\d+)?$")  # what lhotse's perturb_speed appends to an id


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Utterances padded to one length."""

    features: Tensor
    """(N, frames, 80) log-mel filterbanks; padding is zero."""
    lengths: Tensor
    """(N,) input frames."""
    targets: Tensor
    """(N, U) token ids; padding is zero."""
    target_lengths: Tensor
    """(N,)."""
    ids: list[str]
    texts: list[str]
    duration_seconds: float
    """Speech in the batch, without padding."""
    rejected: list[tuple[str, str]]
    """Id and reason of each utterance that could not be read."""

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on a device."""
        names = ("features", "lengths", "targets", "target_lengths")
        return replace(self, **{n: getattr(self, n).to(device, non_blocking=True) for n in names})


def read_cuts(path: Path, *, argument: str) -> CutSet:
    """Open a manifest of cuts lazily.

    Raises:
        ValueError: that names `argument` where there is no such file, or a damaged one.
    """
    if not path.is_file():
        raise ValueError(f"{argument} is {path}, it must be an existing manifest (see prepare.sh)")
    try:
        cuts = CutSet.from_file(path)
        len(cuts)  # decompresses it to the end
    except Exception as error:  # whatever a broken file makes gzip, json and lhotse raise
        what = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{argument} is {path}, which cannot be read: {what}") from error
    return cuts


def is_speed_perturbed(cut_id: str) -> bool:
    """Whether lhotse made this cut by changing the speed of another: `utt-1_sp1.1`."""
    return _SPEED_SUFFIX.search(cut_id) is not None


def why_unusable(cut: Cut, tokens: TokenTable, *, subsampling: int) -> str | None:
    """The reason why an utterance cannot be trained on or scored, None where it can be."""
    text = " ".join(s.text or "" for s in cut.supervisions).strip()
    if not text:
        return "empty transcript"
    ids = tokens.encode(text)
    if tokens.unknown_id in ids:
        return f"token outside the table in {text!r}"
    # CTC needs a blank between two equal labels.
    needed = len(ids) + sum(a == b for a, b in pairwise(ids))
    available = subsampled_lengths(input_frames(cut), subsampling)
    if needed > available:
        return f"{needed} encoder frames needed for its labels, {max(available, 0)} there"
    return None


def input_frames(cut: Cut) -> int:
    """Frames of 10 ms: as many as are stored, or as there will be once they are computed."""
    return int(cut.num_frames if cut.has_features else round(cut.duration * 100))


def usable_cuts(
    cuts: CutSet, tokens: TokenTable, config: DataConfig, *, subsampling: int, quiet: bool = False
) -> tuple[CutSet, Rejects]:
    """Choose the cuts to train on.

    Cuts outside the wanted durations, or speed-perturbed where that is not wanted, are a choice
    of the config and not counted; what `why_unusable` names is.

    Raises:
        TooManyRejects: where more than `config.max_rejected_percent` cannot be used.
        ValueError: where no cut is left.
    """
    chosen, reasons, total = [], [], 0
    for cut in tqdm(cuts, desc="checking utterances", unit="cut", disable=quiet, leave=False):
        if is_speed_perturbed(cut.id) and not config.speed_perturbed:
            continue
        if not config.min_utterance_seconds <= cut.duration <= config.max_utterance_seconds:
            continue
        total += 1
        reason = why_unusable(cut, tokens, subsampling=subsampling)
        if reason is None:
            chosen.append(cut)
        else:
            reasons.append((cut.id, reason))
    rejects = Rejects(
        total,
        limit_percent=config.max_rejected_percent,
        option="--data.max-rejected-percent",
    )
    for utterance_id, reason in reasons:
        rejects.add(utterance_id, reason)
    rejects.check()
    if not chosen:
        raise ValueError(f"data: none of {total} utterances can be used, at least one must be")
    return CutSet.from_cuts(chosen), rejects


class Utterances(Dataset[Batch]):
    """Turns the small CutSet that a sampler gives into a `Batch`."""

    def __init__(self, tokens: TokenTable) -> None:
        self.tokens = tokens
        self._extractor: Any = None

    def __getitem__(self, cuts: CutSet) -> Batch:  # type: ignore[override]
        """Load features, or compute them from audio where the cut has none."""
        kept, features, rejected = [], [], []
        for cut in cuts:
            try:
                features.append(self._features(cut))
                kept.append(cut)
            except Exception as error:  # whatever a broken file makes a codec raise
                what = str(error).partition("\n")[0]  # lhotse appends the whole cut below
                rejected.append((cut.id, f"unreadable: {type(error).__name__}: {what}"))
        texts = [" ".join(s.text or "" for s in cut.supervisions).strip() for cut in kept]
        targets = [torch.tensor(self.tokens.encode(text), dtype=torch.int64) for text in texts]
        return Batch(
            features=_pad(features, torch.zeros(0, NUM_MEL_BINS)),
            lengths=torch.tensor([len(f) for f in features], dtype=torch.int64),
            targets=_pad(targets, torch.zeros(0, dtype=torch.int64)),
            target_lengths=torch.tensor([len(t) for t in targets], dtype=torch.int64),
            ids=[cut.id for cut in kept],
            texts=texts,
            duration_seconds=sum(cut.duration for cut in kept),
            rejected=rejected,
        )

    def _features(self, cut: Cut) -> Tensor:
        array = cut.load_features() if cut.has_features else cut.compute_features(self._fbank())
        features = torch.from_numpy(np.array(array, dtype=np.float32))
        if features.dim() != 2 or features.shape[1] != NUM_MEL_BINS:
            raise ValueError(f"features are {tuple(features.shape)}, not (frames, {NUM_MEL_BINS})")
        if not torch.isfinite(features).all():
            raise ValueError("features are not finite")
        return features

    def _fbank(self) -> Any:
        if self._extractor is None:
            from lhotse.features.kaldifeat import KaldifeatFbank, KaldifeatFbankConfig

            self._extractor = KaldifeatFbank(KaldifeatFbankConfig())
        return self._extractor


def _pad(rows: list[Tensor], empty: Tensor) -> Tensor:
    """Stack rows of unequal length; no rows give a batch of none."""
    return pad_sequence(rows, batch_first=True) if rows else empty[None][:0]


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
