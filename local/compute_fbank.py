"""Compute 80-bin log-mel filterbanks of cuts, and store them.

    compute_fbank.py IN_CUTS OUT_CUTS --storage DIR [--speed-perturb] [--num-jobs 2]
    compute_fbank.py IN_CUTS OUT_CUTS --storage DIR --dask tcp://host:8786

IN_CUTS is any manifest of lhotse cuts that load audio; OUT_CUTS are the same cuts with features
(a mixed cut becomes a plain one). `--speed-perturb` adds two copies of each, at 0.9 and 1.1 times
the speed; lhotse marks their ids with `_sp0.9` and `_sp1.1`.

The work is split into shards of several minutes, spread over processes, or over the workers of a
Dask cluster that see the same folders. The name of a finished shard in DIR has a hash of its input:
an interrupted run loses only unfinished shards, and a run with other input never uses old features.

An utterance that cannot be read is left out, and reported in the log and in OUT_CUTS' name with
`.rejects.jsonl`; more than `--max-rejected-percent` of them stop the run. The next run tries them
again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lhotse import CutSet, LilcomChunkyWriter
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_sampled.cli import run_script
from icefall_sampled.data import read_cuts
from icefall_sampled.data.features import make_fbank
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.data.shar import reading
from icefall_sampled.errors import unreadable
from icefall_sampled.files import read_json, replacing, write_text
from icefall_sampled.jobs import Jobs, open_jobs

SPEEDS = (0.9, 1.1)
SHARD_SECONDS = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Some cuts, and where their features go."""

    cuts: list[Cut]
    features: Path
    manifest: Path
    rejects: Path
    """JSON: id and reason of each cut that could not be read."""

    @property
    def is_done(self) -> bool:
        """Whether all of it was read: an unreadable file may have been repaired since."""
        return self.manifest.is_file() and not self.read_rejects()

    def read_rejects(self) -> list[tuple[str, str]]:
        """The contents of `rejects`."""
        return [(i, reason) for i, reason in read_json(self.rejects)]


def with_speeds(cuts: list[Cut]) -> list[Cut]:
    """Each cut followed by its two copies: training shuffles only within a window."""
    return [copy for cut in cuts for copy in (cut, *(cut.perturb_speed(speed) for speed in SPEEDS))]


def split_by_duration(cuts: list[Cut], seconds: float) -> Iterator[list[Cut]]:
    """Consecutive cuts in groups of about `seconds` each."""
    total = 0.0
    numbered = []
    for cut in cuts:
        numbered.append((int(total // seconds), cut))
        total += cut.duration
    for _, group in itertools.groupby(numbered, key=lambda pair: pair[0]):
        yield [cut for _, cut in group]


def make_shards(cuts: list[Cut], storage: Path, name: str) -> list[Shard]:
    """Shards whose names have a hash of the cuts and the extractor's settings."""
    settings = json.dumps(make_fbank().config.to_dict(), sort_keys=True, default=str)
    shards = []
    for number, part in enumerate(split_by_duration(cuts, SHARD_SECONDS)):
        content = settings + "".join(
            json.dumps(cut.to_dict(), sort_keys=True, default=str) for cut in part
        )
        key = hashlib.sha256(content.encode()).hexdigest()[:12]
        stem = f"{name}-{number:04d}-{key}"
        shards.append(
            Shard(
                cuts=part,
                features=storage / f"{stem}.lca",
                manifest=storage / f"{stem}.jsonl.gz",
                rejects=storage / f"{stem}.rejects.json",
            )
        )
    return shards


def compute_shard(shard: Shard) -> float:
    """Compute and store one shard; returns the seconds of audio in it."""
    torch.set_num_threads(1)
    extractor = make_fbank()
    done: list[Cut] = []
    rejects: list[tuple[str, str]] = []
    with LilcomChunkyWriter(shard.features, mode="wb") as writer:
        for cut in shard.cuts:
            try:
                done.append(cut_with_features(cut, extractor, writer))
            except Exception as error:
                rejects.append((cut.id, unreadable(error)))
    write_text(shard.rejects, json.dumps(rejects))
    with replacing(shard.manifest) as temporary:
        CutSet.from_cuts(done).to_file(temporary)
    return sum(cut.duration for cut in shard.cuts)


def cut_with_features(cut: Cut, extractor: Any, writer: Any) -> Cut:
    """The cut with its features stored; raises ValueError if its audio is not usable."""
    audio = cut.load_audio()
    if not np.isfinite(audio).all():
        raise ValueError("samples that are not finite")
    return cut.compute_and_store_features(extractor, writer)


def compute_all(shards: list[Shard], jobs: Jobs) -> None:
    """Compute the shards that are not done yet."""
    todo = [shard for shard in shards if not shard.is_done]
    if len(todo) < len(shards):
        logger.info("%d of %d shards are there already", len(shards) - len(todo), len(shards))
    total = sum(cut.duration for shard in todo for cut in shard.cuts)
    bar = tqdm(
        total=round(total), desc="features", unit="s of audio", unit_scale=True, mininterval=2
    )
    with bar:
        for seconds in jobs.run(compute_shard, todo):
            bar.update(min(round(seconds), bar.total - bar.n))


def collect(shards: list[Shard], out_cuts: Path, *, total: int, limit_percent: float) -> None:
    """Join the shards' manifests into one, and report the cuts that were left out."""
    rejects = Rejects(total, limit_percent)
    for shard in shards:
        for cut_id, reason in shard.read_rejects():
            rejects.add(cut_id, reason)
    rejects.write(out_cuts.with_name(f"{_name(out_cuts)}.rejects.jsonl"))
    rejects.check()
    with replacing(out_cuts) as temporary, CutSet.open_writer(temporary, overwrite=True) as writer:
        for shard in shards:
            with reading(str(shard.manifest)):
                # Lazily: a shard without readable cuts is an empty file, which is not a CutSet.
                cuts = list(CutSet.from_jsonl_lazy(shard.manifest))
            for cut in cuts:
                writer.write(cut)


def _name(manifest: Path) -> str:
    return manifest.name.split(".", 1)[0]


def main(
    in_cuts: Path,
    out_cuts: Path,
    /,
    *,
    storage: Path,
    speed_perturb: bool = False,
    num_jobs: int = 2,
    dask: str = "",
    max_rejected_percent: float = 1.0,
) -> None:
    """Compute log-mel filterbanks of cuts and store them.

    Args:
        in_cuts: manifest of cuts that load audio.
        out_cuts: manifest to write, of the same cuts with features.
        storage: folder for the features.
        speed_perturb: also add a slower and a faster copy of each cut (0.9, 1.1).
        num_jobs: number of processes.
        dask: address of a Dask scheduler, whose workers replace the processes.
        max_rejected_percent: stop if more than this share of the cuts cannot be read.
    """
    cuts = list(read_cuts(in_cuts, argument="IN_CUTS"))
    if speed_perturb:
        cuts = with_speeds(cuts)
    storage = storage.resolve()
    with open_jobs(num_jobs=num_jobs, dask=dask) as jobs:
        storage.mkdir(parents=True, exist_ok=True)
        name = _name(out_cuts)
        shards = make_shards(cuts, storage, name)
        wanted = {path for s in shards for path in (s.features, s.manifest, s.rejects)}
        for stale in set(storage.glob(f"{name}-[0-9]*")) - wanted:
            stale.unlink()
        compute_all(shards, jobs)
    collect(shards, out_cuts, total=len(cuts), limit_percent=max_rejected_percent)
    hours = sum(cut.duration for cut in cuts) / 3600
    logger.info("%s: %d cuts, %.2f hours", out_cuts, len(cuts), hours)


if __name__ == "__main__":
    run_script(main)
