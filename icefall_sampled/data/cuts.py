"""Opening manifests of lhotse cuts, and what is read off a cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

from lhotse import CutSet, RecordingSet, SupervisionSet
from lhotse.cut import Cut

from icefall_sampled.audio import FRAMES_PER_SECOND
from icefall_sampled.data.shar import Shar, reading
from icefall_sampled.errors import UserError

M = TypeVar("M", RecordingSet, SupervisionSet)

_SPEED_SUFFIX = re.compile(r"_sp\d+(\.\d+)?$")  # what lhotse's perturb_speed appends to an id


def read_cuts(path: Path, *, argument: str) -> CutSet:
    """Open a manifest of cuts, or a folder of Shar, lazily.

    Raises:
        UserError: that names `argument` where there is no such file, or a damaged one. What is
            wrong with a line is found, and raised, when the cuts are gone through.
    """
    if path.is_dir():
        return CutSet(Shar.open(path, argument=argument))
    if not path.is_file():
        raise UserError(
            f"{argument} is {path}, it must be an existing manifest, or a folder of Shar "
            "(see prepare.sh)"
        )
    with reading(f"{argument} is {path}, which"):
        cuts = CutSet.from_file(path)
        len(cuts)  # decompresses it to the end
    return CutSet(_Manifest(cuts, f"{argument} is {path}, which"))


def read_manifest(kind: type[M], path: Path, *, argument: str) -> M:
    """Read a manifest of recordings or supervisions into memory.

    Raises:
        UserError: that names `argument` where there is no such file, or a damaged one.
    """
    if not path.is_file():
        raise UserError(f"{argument} is {path}, it must be an existing manifest")
    with reading(f"{argument} is {path}, which"):
        return cast(M, kind.from_file(path).to_eager())


class _Manifest:
    """The cuts of a file, which is named where one of its lines is no cut."""

    def __init__(self, cuts: CutSet, what: str) -> None:
        self._cuts, self._what = cuts, what

    def __len__(self) -> int:
        return len(self._cuts)

    def __iter__(self) -> Iterator[Cut]:
        with reading(self._what):
            for number, cut in enumerate(self._cuts, start=1):
                if not isinstance(cut, Cut):
                    raise TypeError(f"line {number} holds a {type(cut).__name__}, not a cut")
                yield cut


def is_speed_perturbed(cut_id: str) -> bool:
    """Whether lhotse made this cut by changing the speed of another: `utt-1_sp1.1`."""
    return _SPEED_SUFFIX.search(cut_id) is not None


def text_of(cut: Cut) -> str:
    """What is said in a cut."""
    return " ".join(s.text or "" for s in cut.supervisions).strip()


def input_frames(cut: Cut) -> int:
    """Frames of 10 ms: as many as are stored, or as there will be once they are computed."""
    return int(cut.num_frames if cut.has_features else round(cut.duration * FRAMES_PER_SECOND))
