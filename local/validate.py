"""Check cuts before training relies on them.

    validate.py CUTS... [--lang-dir DIR] [--allow-unknown] [--subsampling 4]
                        [--max-rejected-percent 1]

Each utterance must have one supervision with a text. Its features must load, have 80 bins, contain
only finite values, and have the cut's number of frames, which must match the cut's duration. With a
token table, no token may be outside it, and all labels must fit into the encoder's frames: this
uses the same filter as training. Utterances that fail are reported by id and counted; the check
fails if they are more than the allowed share. With --allow-unknown, for sets that are not trained
on, tokens outside the table are only counted: every model gets them wrong.

If the cuts have no features yet (they are computed on the fly), only the rest is checked.
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

from icefall_sampled.audio import FRAMES_PER_SECOND, NUM_MEL_BINS
from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import read_cuts, text_of, why_unusable
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.jobs import check_num_jobs
from icefall_sampled.modeling.subsampling import subsampled_lengths
from icefall_sampled.tokens import TokenTable, load_tokens

_CHUNK = 100

logger = logging.getLogger(__name__)


def find_fault(
    cut: Cut, *, tokens: TokenTable | None, subsampling: int, allow_unknown: bool = False
) -> str | None:
    """The fault of an utterance; None if it has none."""
    if len(cut.supervisions) != 1:
        return f"{len(cut.supervisions)} supervisions, there must be 1"
    if not cut.duration > 0:
        return f"duration is {cut.duration} s"
    if not (cut.supervisions[0].text or "").strip():
        return "empty transcript"
    if cut.has_features and (fault := find_feature_fault(cut)):
        return fault
    if tokens is None:
        return None
    frames = partial(subsampled_lengths, factor=subsampling)
    return why_unusable(cut, tokens, output_frames=frames, allow_unknown=allow_unknown)


def find_feature_fault(cut: Cut) -> str | None:
    """The fault of the stored features; None if they have none."""
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
    cuts: list[Cut], *, lang_dir: Path | None, subsampling: int, allow_unknown: bool = False
) -> tuple[list[tuple[str, str]], int]:
    """Id and fault of each utterance that has one, and how many have a token outside the table."""
    tokens = load_tokens(lang_dir) if lang_dir else None
    check = partial(find_fault, tokens=tokens, subsampling=subsampling, allow_unknown=allow_unknown)
    faults = [(cut.id, fault) for cut in cuts if (fault := check(cut))]
    unknown = sum(tokens.unknown_id in tokens.encode(text_of(cut)) for cut in cuts) if tokens else 0
    return faults, unknown


def validate(
    path: Path,
    *,
    lang_dir: Path | None,
    subsampling: int,
    allow_unknown: bool,
    num_jobs: int,
    max_rejected_percent: float,
) -> Rejects:
    """Check every cut of a manifest, and report how many have tokens outside the table.

    Raises:
        TooManyRejects: if more than the limit have a fault.
    """
    cuts = list(read_cuts(path, argument="CUTS"))
    if not cuts:
        raise UserError(f"{path} holds no cuts")
    rejects = Rejects(len(cuts), max_rejected_percent)
    parts = [cuts[i : i + _CHUNK] for i in range(0, len(cuts), _CHUNK)]
    check = partial(
        find_faults, lang_dir=lang_dir, subsampling=subsampling, allow_unknown=allow_unknown
    )
    num_unknown = 0
    bar = tqdm(
        total=len(cuts), desc=f"validating {path.name}", unit="cut", leave=False, disable=None
    )
    with bar, ProcessPoolExecutor(max_workers=num_jobs) as pool:
        for part, (faults, unknown) in zip(parts, pool.map(check, parts), strict=True):
            bar.update(len(part))
            num_unknown += unknown
            for cut_id, fault in faults:
                rejects.add(cut_id, fault)
    rejects.check()
    if num_unknown and allow_unknown:
        logger.info("%s: %d utterances hold a token outside the table", path, num_unknown)
    return rejects


def main(
    cuts: tuple[Path, ...],
    /,
    *,
    lang_dir: Path | None = None,
    allow_unknown: bool = False,
    subsampling: Literal[4, 6, 8] = 4,
    num_jobs: int = 2,
    max_rejected_percent: float = 1.0,
) -> None:
    """Check cuts before training relies on them.

    Args:
        cuts: manifests to check.
        lang_dir: folder of the token table; without it, labels are not checked.
        allow_unknown: a token outside the table is not a fault; for cuts that are not trained on.
        subsampling: input frames for each encoder frame.
        num_jobs: number of processes.
        max_rejected_percent: fail if more than this share of a manifest has a fault.
    """
    if not cuts:
        raise UserError("no manifests were given")
    if lang_dir:
        load_tokens(lang_dir)
    for path in cuts:
        read_cuts(path, argument="CUTS")
    check_num_jobs(num_jobs)
    for path in cuts:
        rejects = validate(
            path,
            lang_dir=lang_dir,
            subsampling=subsampling,
            allow_unknown=allow_unknown,
            num_jobs=num_jobs,
            max_rejected_percent=max_rejected_percent,
        )
        logger.info("%s: %d of %d utterances have a fault", path, rejects.count, rejects.total)


if __name__ == "__main__":
    run_script(main)
