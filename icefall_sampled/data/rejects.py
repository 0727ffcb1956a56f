"""Utterances that had to be left out: reported by id, counted, and too many of them stop the run.

One broken file must not end a night of training, and a thousand must not go unnoticed. Data
preparation and training count with the same class:

    rejects = Rejects(total=len(recordings))
    for recording in recordings:
        try:
            read(recording)
        except OSError as error:
            rejects.add(recording.id, str(error))
    rejects.check()
"""

from __future__ import annotations

import json
import logging
import textwrap
from dataclasses import dataclass
from pathlib import Path

from icefall_sampled.errors import UserError
from icefall_sampled.files import replacing

_EXAMPLES = 3
_REASON_WIDTH = 240

logger = logging.getLogger(__name__)


class TooManyRejects(UserError):
    """More of a corpus is unusable than its user allows."""


@dataclass(frozen=True, kw_only=True)
class Reject:
    """One utterance that was left out."""

    utterance_id: str
    reason: str


class Rejects:
    """The utterances that were left out, at most `limit_percent` of `total`.

    Args:
        total: number of all utterances, used and left out. Where utterances are rejected on the
            fly, it is the size of the corpus, not the number seen so far: the share then only
            grows, and `check` may be called at any time.
        limit_percent: the largest share, in percent of `total`, that is still fine.
        option: the command-line option that raises the limit, named when it is exceeded.
    """

    def __init__(
        self,
        total: int,
        limit_percent: float = 1.0,
        *,
        option: str = "--max-rejected-percent",
    ) -> None:
        if total < 0:
            raise UserError(f"total is {total}, it must be at least 0")
        if not 0 <= limit_percent <= 100:
            raise UserError(f"limit_percent is {limit_percent}, it must be from 0 to 100")
        self.total = total
        self.limit_percent = limit_percent
        self.option = option
        self._rejects: dict[str, Reject] = {}

    @property
    def count(self) -> int:
        """Utterances left out so far; each counts once, however often it was met."""
        return len(self._rejects)

    @property
    def rejects(self) -> list[Reject]:
        """The utterances left out so far, in the order in which they were met."""
        return list(self._rejects.values())

    def add(self, utterance_id: str, reason: str, *, quiet: bool = False) -> None:
        """Leave an utterance out. Each id is logged once, although each epoch adds it again.

        `quiet` logs nothing, for example because another rank did. Long reasons, such as a
        codec's error of several lines, are shortened.
        """
        if utterance_id in self._rejects:
            return
        reason = textwrap.shorten(reason, _REASON_WIDTH, placeholder=" …")
        self._rejects[utterance_id] = Reject(utterance_id=utterance_id, reason=reason)
        if not quiet:
            logger.warning("left out %s: %s", utterance_id, reason)

    def check(self) -> None:
        """Raise `TooManyRejects` where more than the limit were left out."""
        if self.count * 100 <= self.limit_percent * self.total:
            return
        examples = "; ".join(f"{r.utterance_id}: {r.reason}" for r in self.rejects[:_EXAMPLES])
        more = ", …" if self.count > _EXAMPLES else ""
        raise TooManyRejects(
            f"{self.count} of {self.total} utterances had to be left out, more than the "
            f"{self.limit_percent:g} % allowed ({examples}{more}); {self.option} allows more"
        )

    def write(self, path: Path) -> None:
        """Write one JSON object a line, `{"id": …, "reason": …}`; an empty file if none."""
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for reject in self.rejects:
                row = {"id": reject.utterance_id, "reason": reject.reason}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
