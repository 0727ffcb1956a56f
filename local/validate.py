"""Check cuts before training relies on them.

    validate.py CUTS... [--lang-dir DIR] [--subsampling 4] [--max-rejected-percent 1]

For each utterance: one supervision with a text; features that load, have 80 bins, only finite
values and as many frames as the cut says, and the cut as many as its duration says; with a token
table, no token outside it and, at the encoder's frame rate, room for all labels: the training code
is asked what it could not use. What fails is reported by id and counted; more than the allowed
share fails the check.

Where the cuts have no features yet (they are computed on the fly), only the rest is checked.
"""

from __future__ import annotations

import logging
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_sampled.data import NUM_MEL_BINS, read_cuts, why_unusable
from icefall_sampled.rejects import Rejects
from icefall_sampled.script import run_script
from icefall_sampled.tokens import TokenTable, load_tokens

FRAMES_PER_SECOND = 100
_CHUNK = 100

logger = logging.getLogger(__name__)


def find_fault(cut: Cut, *, tokens: TokenTable | None, subsampling: int) -> str | None:
    """What is wrong with an utterance, None if nothing is."""
    if len(cut.supervisions) != 1:
        return f"{len(cut.supervisions)} supervisions, there must be 1"
    if not cut.duration > 0:
        return f"duration is {cut.duration} s"
    if not (cut.supervisions[0].text or "").strip():
        return "empty transcript"
    if cut.has_features and (fault := find_feature_fault(cut)):
        return fault
    return why_unusable(cut, tokens, subsampling=subsampling) if tokens else None


def find_feature_fault(cut: Cut) -> str | None:
    """What is wrong with the stored features."""
    try:
        features = cut.load_features()
    except Exception as error:
        return f"features cannot be read: {type(error).__name__}: {error}"
    if features.ndim != 2 or features.shape[1] != NUM_MEL_BINS:
        return f"features have shape {features.shape}, it must be (frames, {NUM_MEL_BINS})"
    if features.shape[0] != cut.num_frames:
        return f"{features.shape[0]} frames are stored, the manifest says {cut.num_frames}"
    if abs(features.shape[0] - cut.duration * FRAMES_PER_SECOND) > 1:
        return f"{features.shape[0]} frames for {cut.duration:.3f} s"
    if not np.isfinite(features).all():
        return "features that are not finite"
    return None


def find_faults(
    cuts: list[Cut], *, lang_dir: Path | None, subsampling: int
) -> list[tuple[str, str]]:
    """Id and fault of each utterance that has one."""
    tokens = load_tokens(lang_dir) if lang_dir else None
    found = ((cut.id, find_fault(cut, tokens=tokens, subsampling=subsampling)) for cut in cuts)
    return [(cut_id, fault) for cut_id, fault in found if fault]


def validate(
    path: Path,
    *,
    lang_dir: Path | None,
    subsampling: int,
    num_jobs: int,
    max_rejected_percent: float,
) -> Rejects:
    """Check every cut of a manifest.

    Raises:
        TooManyRejects: where more than the limit have a fault.
    """
    cuts = list(read_cuts(path, argument="CUTS"))
    if not cuts:
        raise ValueError(f"{path} holds no cuts")
    rejects = Rejects(len(cuts), max_rejected_percent)
    parts = [cuts[i : i + _CHUNK] for i in range(0, len(cuts), _CHUNK)]
    check = partial(find_faults, lang_dir=lang_dir, subsampling=subsampling)
    bar = tqdm(
        total=len(cuts), desc=f"validating {path.name}", unit="cut", leave=False, disable=None
    )
    with bar, ProcessPoolExecutor(max_workers=num_jobs) as pool:
        for part, faults in zip(parts, pool.map(check, parts), strict=True):
            bar.update(len(part))
            for cut_id, fault in faults:
                rejects.add(cut_id, fault)
    rejects.check()
    return rejects


def main(
    cuts: tuple[Path, ...],
    /,
    *,
    lang_dir: Path | None = None,
    subsampling: Literal[4, 6, 8] = 4,
    num_jobs: int = 2,
    max_rejected_percent: float = 1.0,
) -> None:
    """Check cuts before training relies on them.

    Args:
        cuts: manifests to check.
        lang_dir: folder of the token table; without it, labels are not checked.
        subsampling: input frames to one of the encoder.
        num_jobs: processes.
        max_rejected_percent: fail where more than this share of a manifest has a fault.
    """
    if not cuts:
        raise ValueError("no manifests were given")
    if lang_dir:
        load_tokens(lang_dir)
    for path in cuts:
        read_cuts(path, argument="CUTS")
    if num_jobs < 1:
        raise ValueError(f"--num-jobs is {num_jobs}, it must be at least 1")
    for path in cuts:
        rejects = validate(
            path,
            lang_dir=lang_dir,
            subsampling=subsampling,
            num_jobs=num_jobs,
            max_rejected_percent=max_rejected_percent,
        )
        logger.info("%s: %d of %d utterances have a fault", path, rejects.count, rejects.total)


if __name__ == "__main__":
    run_script(main)
