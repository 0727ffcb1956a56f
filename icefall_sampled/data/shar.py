"""Lhotse Shar: cuts and their features in shards that are read sequentially.

A folder of Shar can take the place of a manifest of cuts; local/to_shar.py writes one. The metadata
of utterances (id, text, duration, frames) are in `cuts.000000.jsonl.gz`, which is read alone where
no features are needed. Their features are in `features.000000.tar`, in the same order, and are read
sequentially, never by seeking.

Each epoch shuffles the shards. Each rank reads shards of its own. If the number of shards is not a
multiple of world_size, all ranks read the remaining shards, each every world_size-th utterance.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lhotse import CutSet, MonoCut
from lhotse.cut import Cut
from lhotse.lazy import count_newlines_fast
from lhotse.shar.readers.tar import TarIterator
from numpy.typing import NDArray

from icefall_sampled.errors import UserError, first_line

DAMAGED = "its place in the Shar shard is damaged"


@dataclass(frozen=True)
class Shard:
    """The files of one shard."""

    cuts: Path
    fields: dict[str, Path]
    """A tar for each kind of data: features, or recording."""

    def metadata(self) -> Iterator[Cut]:
        """The cuts without their data.

        Raises:
            UserError: where the file is damaged; the message names it.
        """
        with reading(str(self.cuts)):
            yield from CutSet.from_jsonl_lazy(self.cuts)

    def __len__(self) -> int:
        with reading(str(self.cuts)):
            return count_newlines_fast(self.cuts)

    def read(self) -> Iterator[Cut]:
        """The cuts with their data; after damage in a tar, the remaining cuts lack its data.

        Loading the features of such a cut raises an error, as for any unreadable file.
        """
        streams: dict[str, Iterator[Any]] = {
            name: iter(TarIterator(path)) for name, path in self.fields.items()
        }
        for cut in self.metadata():
            for name in list(streams):
                data = _next_of(streams[name], cut.id)
                if data is not None:
                    setattr(cut, name, data)
                elif getattr(cut, f"has_{name}"):
                    del streams[name]
            yield cut


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Name a file in errors of reading it, of which gzip, json and lhotse raise many types."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{what} cannot be read: {first_line(error)}") from error


def _next_of(stream: Iterator[Any], cut_id: str) -> Any:
    """The next manifest of a tar with its data, None where there is none for this cut."""
    try:
        manifest, path = next(stream)
    except Exception:  # tarfile raises many types for a broken or truncated tar
        return None
    return manifest if str(path.parent / path.stem) == cut_id else None


@dataclass(frozen=True)
class Shar:
    """The cuts of a folder of Shar, or a selection of them."""

    shards: tuple[Shard, ...]
    durations: tuple[NDArray[np.float64], ...] | None = None
    """Seconds of each cut of each shard, 0 for those that were not chosen; None before choosing."""

    @staticmethod
    def open(folder: Path, *, argument: str) -> Shar:
        """Find the shards of a folder.

        Raises:
            UserError: where there are none, or one lacks a file; the message names `argument`.
        """
        numbers = [path.name.split(".")[1] for path in sorted(folder.glob("cuts.*.jsonl.gz"))]
        names = sorted({path.name.split(".")[0] for path in folder.glob("*.*.tar")})
        shards = tuple(
            Shard(
                folder / f"cuts.{number}.jsonl.gz",
                {name: folder / f"{name}.{number}.tar" for name in names},
            )
            for number in numbers
        )
        if not shards or not names:
            raise UserError(
                f"{argument} is {folder}, a folder must hold lhotse Shar: cuts.000000.jsonl.gz, "
                "features.000000.tar and so on (see local/to_shar.py)"
            )
        for path in (path for shard in shards for path in shard.fields.values()):
            if not path.is_file():
                raise UserError(f"{argument} is {folder}, it must have a file {path.name} too")
        return Shar(shards)

    def __len__(self) -> int:
        if self.durations is None:
            return sum(len(shard) for shard in self.shards)
        return sum(int(np.count_nonzero(seconds)) for seconds in self.durations)

    def __iter__(self) -> Iterator[Cut]:
        chosen = self if self.durations is not None else self.choose(lambda cut: True)
        return chosen.read([(n, 0, 1) for n in range(len(self.shards))])

    def metadata(self) -> Iterator[Cut]:
        """All cuts, without their data."""
        for shard in self.shards:
            yield from shard.metadata()

    def choose(self, wanted: Callable[[Cut], bool]) -> Shar:
        """Select, from the metadata of all cuts, those for which `wanted` is true."""
        durations = tuple(
            np.array([cut.duration if wanted(cut) else 0.0 for cut in shard.metadata()])
            for shard in self.shards
        )
        return replace(self, durations=durations)

    def no_longer_than(self, seconds: float) -> Shar:
        """The chosen cuts of at most this duration."""
        return replace(self, durations=tuple(d * (d <= seconds) for d in self._chosen()))

    def parts(
        self, *, rank: int, world_size: int, order: random.Random | None = None
    ) -> list[tuple[int, int, int]]:
        """The parts of one rank: (shard, first, step) for every step-th chosen cut from `first`.

        Args:
            rank: this process of `world_size`.
            world_size: processes; together they read every chosen cut once.
            order: shuffles the shards; its seed is the same on every rank.
        """
        numbers = list(range(len(self.shards)))
        if order is not None:
            order.shuffle(numbers)
        whole = len(numbers) - len(numbers) % world_size
        return [
            *((number, 0, 1) for number in numbers[rank:whole:world_size]),
            *((number, rank, world_size) for number in numbers[whole:]),
        ]

    def read(self, parts: list[tuple[int, int, int]]) -> Iterator[Cut]:
        """The chosen cuts of some parts, with their data."""
        for number, first, step in parts:
            taken = self._taken(number, first, step)
            for cut, take in zip(self.shards[number].read(), taken, strict=False):
                if take:
                    yield cut

    def outlines(self, parts: list[tuple[int, int, int]]) -> Iterator[Cut]:
        """Placeholders for the cuts of `read`, with the right durations; opens no file."""
        for number, first, step in parts:
            seconds = self._chosen()[number]
            for duration in seconds[self._taken(number, first, step)].tolist():
                yield MonoCut(id="", start=0, duration=duration, channel=0)

    def _chosen(self) -> tuple[NDArray[np.float64], ...]:
        assert self.durations is not None, "choose() comes first"
        return self.durations

    def _taken(self, number: int, first: int, step: int) -> NDArray[np.bool_]:
        """For each cut of a shard, whether it belongs to a part."""
        seconds = self._chosen()[number]
        taken = np.zeros(len(seconds), dtype=bool)
        taken[np.flatnonzero(seconds)[first::step]] = True
        return taken


def shar_of(cuts: CutSet) -> Shar | None:
    """The Shar that a CutSet reads, None where it reads something else."""
    return cuts.cuts if isinstance(cuts.cuts, Shar) else None


def keep(cuts: CutSet, wanted: Callable[[Cut], bool]) -> CutSet:
    """The cuts for which `wanted` is true; those of Shar stay in their files."""
    shar = shar_of(cuts)
    if shar is not None:
        return CutSet(shar.choose(wanted))
    return CutSet.from_cuts(cut for cut in cuts if wanted(cut))
