"""Export cuts with their features to lhotse Shar, which is read sequentially.

    to_shar.py CUTS OUT_DIR [--shard-size 1000] [--shuffle] [--num-jobs 2]

Training, validation and decoding accept OUT_DIR in place of a manifest. Cuts without features are
exported with their audio (FLAC). lilcom compresses the features once more, with an error below its
step; `--lossless` stores them exactly, in four to five times the space.

Training draws its batches from a buffer of several thousand utterances: `--shuffle` the cuts of a
training set, because otherwise a shard has few speakers. An interrupted export continues where it
stopped. An utterance that cannot be read is left out, and reported in the log and in OUT_DIR's name
with `.rejects.jsonl`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lhotse import MonoCut
from lhotse.cut import Cut
from lhotse.shar import SharWriter
from tqdm import tqdm

from icefall_sampled.cli import run_script
from icefall_sampled.data import read_cuts
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.errors import UserError, unreadable
from icefall_sampled.files import read_json, write_text
from icefall_sampled.jobs import open_jobs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Export:
    """One shard to write."""

    number: int
    cuts: list[Cut]
    folder: Path
    fields: dict[str, str]
    """The stored fields and their formats, by lhotse's names."""
    marker: Path
    """JSON: the shard's key, and the cuts that could not be read."""

    @property
    def key(self) -> str:
        """A hash of the cuts and settings."""
        content = json.dumps([self.fields, [cut.to_dict() for cut in self.cuts]], default=str)
        return hashlib.sha256(content.encode()).hexdigest()

    def names(self) -> list[str]:
        """Its files; the cuts are last, because a shard without them does not count."""
        tars = [f"{field}.{self.number:06d}.tar" for field in self.fields]
        return [*tars, f"cuts.{self.number:06d}.jsonl.gz"]

    def read_rejects(self) -> list[tuple[str, str]]:
        """Id and reason of each cut that could not be read."""
        return [(i, why) for i, why in read_json(self.marker)["rejects"]]

    @property
    def is_done(self) -> bool:
        """Whether it is complete: an unreadable file may have been repaired since."""
        if not self.marker.is_file() or self.read_rejects():
            return False
        there = all((self.folder / name).is_file() for name in self.names())
        return there and read_json(self.marker)["key"] == self.key


def write_shard(export: Export) -> int:
    """Write one shard; return the number of cuts in its input."""
    temporary = export.marker.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    rejects = []
    with SharWriter(
        temporary, export.fields, shard_size=len(export.cuts) + 1, shard_offset=export.number,
        warn_unused_fields=False,
    ) as writer:  # fmt: skip
        for cut in export.cuts:
            try:
                writer.write(plain(cut, export.fields))  # reads its data before it writes anything
            except Exception as error:
                rejects.append((cut.id, unreadable(error)))
    for name in export.names():
        if (temporary / name).is_file():  # it does not exist if no cut could be read
            (temporary / name).replace(export.folder / name)
    shutil.rmtree(temporary)
    write_text(export.marker, json.dumps({"key": export.key, "rejects": rejects}))
    return len(export.cuts)


def plain(cut: Cut, fields: dict[str, str]) -> MonoCut:
    """The cut without audio if that is not exported."""
    if not isinstance(cut, MonoCut):
        raise TypeError(f"a {type(cut).__name__}; compute_fbank.py makes plain cuts with features")
    return cut.drop_recording() if "features" in fields else cut


def make_exports(
    cuts: list[Cut], folder: Path, *, shard_size: int, fields: dict[str, str]
) -> Iterator[Export]:
    """Shards of `shard_size` cuts each."""
    remaining = iter(cuts)
    number = 0
    while part := list(islice(remaining, shard_size)):
        marker = folder.with_name(f".{folder.name}.done") / f"{number:06d}.json"
        yield Export(number=number, cuts=part, folder=folder, fields=fields, marker=marker)
        number += 1


def main(
    in_cuts: Path,
    out_dir: Path,
    /,
    *,
    shard_size: int = 1000,
    shuffle: bool = False,
    seed: int = 42,
    lossless: bool = False,
    num_jobs: int = 2,
    dask: str = "",
    max_rejected_percent: float = 1.0,
) -> None:
    """Export cuts with their features to lhotse Shar.

    Args:
        in_cuts: manifest of cuts with features, or with audio.
        out_dir: folder to write.
        shard_size: cuts in a shard.
        shuffle: put the cuts in a random order first.
        seed: of that order.
        lossless: store features exactly, in four to five times the space.
        num_jobs: number of processes.
        dask: address of a Dask scheduler, whose workers replace the processes.
        max_rejected_percent: stop if more than this share of the cuts cannot be read.
    """
    if shard_size < 1:
        raise UserError(f"--shard-size is {shard_size}, it must be at least 1")
    cuts = list(read_cuts(in_cuts, argument="IN_CUTS"))
    if not cuts:
        raise UserError(f"IN_CUTS is {in_cuts}, it must hold at least one cut")
    if shuffle:
        random.Random(seed).shuffle(cuts)
    with_features = all(cut.has_features for cut in cuts)
    how = "numpy" if lossless else "lilcom"
    fields = {"features": how} if with_features else {"recording": "flac"}
    folder = out_dir.resolve()
    exports = list(make_exports(cuts, folder, shard_size=shard_size, fields=fields))
    with open_jobs(num_jobs=num_jobs, dask=dask) as jobs:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {name for export in exports for name in export.names()}
        stale = sorted(path.name for path in folder.iterdir() if path.name not in wanted)
        if stale:
            raise UserError(
                f"OUT_DIR is {out_dir}, it must hold nothing but this export, not {stale[0]}"
            )
        todo = [export for export in exports if not export.is_done]
        with tqdm(total=sum(len(e.cuts) for e in todo), desc="to Shar", unit="cut") as bar:
            for count in jobs.run(write_shard, todo):
                bar.update(count)
    report(exports, out_dir, total=len(cuts), limit_percent=max_rejected_percent)


def report(exports: list[Export], out_dir: Path, *, total: int, limit_percent: float) -> None:
    """Report the cuts that were left out, and stop if there are too many."""
    rejects = Rejects(total, limit_percent)
    for export in exports:
        for cut_id, reason in export.read_rejects():
            rejects.add(cut_id, reason)
    rejects.write(out_dir.with_name(f"{out_dir.name}.rejects.jsonl"))
    rejects.check()
    logger.info("%s: %d cuts in %d shards", out_dir, total - rejects.count, len(exports))


if __name__ == "__main__":
    run_script(main)
