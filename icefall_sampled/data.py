"""From lhotse cuts, in a manifest or in Shar, to padded batches; loading.py says in which order.

Utterances that cannot be used (unreadable, empty, more labels than frames and, in training, an
unknown token) are left out and reported by id; `Rejects` counts them and stops the run when they
are too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut, MixedCut
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from tqdm import tqdm

from icefall_sampled.config import DataConfig
from icefall_sampled.features import make_fbank
from icefall_sampled.modeling.subsampling import subsampled_lengths
from icefall_sampled.rejects import Rejects
from icefall_sampled.shar import DAMAGED, Shar, keep
from icefall_sampled.tokens import TokenTable

if TYPE_CHECKING:
    from icefall_sampled.noise import Noise

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

    def without_token(self, token_id: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features, lengths, targets and their lengths of the utterances that lack a token."""
        rows = ~(self.targets == token_id).any(dim=1)  # padding is blank, no token
        return (
            self.features[rows],
            self.lengths[rows],
            self.targets[rows],
            self.target_lengths[rows],
        )


def read_cuts(path: Path, *, argument: str) -> CutSet:
    """Open a manifest of cuts, or a folder of Shar, lazily.

    Raises:
        ValueError: that names `argument` where there is no such file, or a damaged one. What is
            wrong with a line is found, and raised, when the cuts are gone through.
    """
    if path.is_dir():
        return CutSet(Shar.open(path, argument=argument))
    if not path.is_file():
        raise ValueError(
            f"{argument} is {path}, it must be an existing manifest, or a folder of Shar "
            "(see prepare.sh)"
        )
    with _reading(path, argument):
        cuts = CutSet.from_file(path)
        len(cuts)  # decompresses it to the end
    return CutSet(_Manifest(cuts, path, argument))


class _Manifest:
    """The cuts of a file, which is named where one of its lines is no cut."""

    def __init__(self, cuts: CutSet, path: Path, argument: str) -> None:
        self._cuts, self._path, self._argument = cuts, path, argument

    def __len__(self) -> int:
        return len(self._cuts)

    def __iter__(self) -> Iterator[Cut]:
        with _reading(self._path, self._argument):
            for number, cut in enumerate(self._cuts, start=1):
                if not isinstance(cut, Cut):
                    raise TypeError(f"line {number} holds a {type(cut).__name__}, not a cut")
                yield cut


@contextmanager
def _reading(path: Path, argument: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a broken file makes gzip, json and lhotse raise
        what = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{argument} is {path}, which cannot be read: {what}") from error


def is_speed_perturbed(cut_id: str) -> bool:
    """Whether lhotse made this cut by changing the speed of another: `utt-1_sp1.1`."""
    return _SPEED_SUFFIX.search(cut_id) is not None


def text_of(cut: Cut) -> str:
    """What is said in a cut."""
    return " ".join(s.text or "" for s in cut.supervisions).strip()


def why_unusable(
    cut: Cut, tokens: TokenTable, *, subsampling: int, allow_unknown: bool = False
) -> str | None:
    """The reason why an utterance cannot be trained on or scored, None where it can be.

    Where `allow_unknown`, as in sets that nothing is trained on, a token outside the table is none:
    it is an error that every model makes, and belongs to what is measured.
    """
    text = text_of(cut)
    if not text:
        return "empty transcript"
    ids = tokens.encode(text)
    if tokens.unknown_id in ids and not allow_unknown:
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
    cuts: CutSet,
    tokens: TokenTable,
    config: DataConfig,
    *,
    subsampling: int,
    allow_unknown: bool = False,
    quiet: bool = False,
) -> tuple[CutSet, Rejects]:
    """Choose the cuts to train on or, where `allow_unknown`, to validate on.

    Cuts outside the wanted durations, or speed-perturbed where that is not wanted, are a choice
    of the config and not counted; what `why_unusable` names is. Where `quiet`, as in all
    processes but one, there is neither a progress bar nor a warning.

    Raises:
        TooManyRejects: where more than `config.max_rejected_percent` cannot be used.
        ValueError: where no cut is left.
    """
    reasons, total = [], 0
    bar = tqdm(desc="checking utterances", unit="cut", disable=quiet, leave=False)

    def wanted(cut: Cut) -> bool:
        nonlocal total
        bar.update()
        if is_speed_perturbed(cut.id) and not config.speed_perturbed:
            return False
        if not config.min_utterance_seconds <= cut.duration <= config.max_utterance_seconds:
            return False
        total += 1
        reason = why_unusable(cut, tokens, subsampling=subsampling, allow_unknown=allow_unknown)
        if reason is not None:
            reasons.append((cut.id, reason))
        return reason is None

    with bar:
        chosen = keep(cuts, wanted)
    rejects = Rejects(
        total,
        limit_percent=config.max_rejected_percent,
        option="--data.max-rejected-percent",
    )
    for utterance_id, reason in reasons:
        rejects.add(utterance_id, reason, quiet=quiet)
    rejects.check()
    if not len(chosen):
        raise ValueError(f"data: none of {total} utterances can be used, at least one must be")
    return chosen, rejects


class Utterances(Dataset[Batch]):
    """Turns the small CutSet that a sampler gives into a `Batch`, with noise where it is wanted."""

    def __init__(self, tokens: TokenTable, noise: Noise | None = None) -> None:
        self.tokens, self.noise = tokens, noise
        self._extractor: Any = None

    def __getitem__(self, cuts: CutSet) -> Batch:  # type: ignore[override]
        """Load features, or compute them from audio where the cut has none."""
        kept, features, rejected = [], [], []
        for cut in self.noise.mixed_into(cuts) if self.noise else cuts:
            try:
                features.append(self._features(cut))
                kept.append(cut)
            except Exception as error:  # whatever a broken file makes a codec raise
                what = str(error).partition("\n")[0]  # lhotse appends the whole cut below
                rejected.append((cut.id, f"unreadable: {type(error).__name__}: {what}"))
        texts = [text_of(cut) for cut in kept]
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
        speech = cut.tracks[0].cut if isinstance(cut, MixedCut) else cut
        if speech.has_features and getattr(speech.features, "storage_type", "") == "shar":
            raise ValueError(DAMAGED)
        array = cut.load_features() if cut.has_features else cut.compute_features(self._fbank())
        features = torch.from_numpy(np.array(array, dtype=np.float32))
        if features.dim() != 2 or features.shape[1] != NUM_MEL_BINS:
            raise ValueError(f"features are {tuple(features.shape)}, not (frames, {NUM_MEL_BINS})")
        if not torch.isfinite(features).all():
            raise ValueError("features are not finite")
        return features

    def _fbank(self) -> Any:
        if self._extractor is None:
            self._extractor = make_fbank()
        return self._extractor


def _pad(rows: list[Tensor], empty: Tensor) -> Tensor:
    """Stack rows of unequal length; no rows give a batch of none."""
    return pad_sequence(rows, batch_first=True) if rows else empty[None][:0]
