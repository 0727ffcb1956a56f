"""A progress bar on a terminal: the share of the files that is done, by their sizes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from icefall_sampled.transcribe.sources import Source
from icefall_sampled.transcribe.transcript import Transcript

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class Progress:
    """A bar on standard error; nothing is shown unless that is a terminal.

    Args:
        sources: all that will be transcribed.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sizes = {source: max(source.size, 1) for source in sources}
        self._shown: dict[Source, float] = {}
        self._heard: dict[Source, float] = {}
        self._started = time.perf_counter()
        what = sources[0].name if len(sources) == 1 else f"{len(sources)} files"
        self._bar = tqdm(
            total=sum(self._sizes.values()), desc=what, bar_format=_FORMAT, disable=None
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def heard(self, transcript: Transcript) -> None:
        """A part was added to a transcript."""
        self._heard[transcript.source] = transcript.seconds
        declared = transcript.declared_seconds
        if declared:
            self._show(transcript.source, min(transcript.seconds / declared, 1.0))
        seconds = sum(self._heard.values())
        speed = seconds / max(time.perf_counter() - self._started, 1e-9)
        self._bar.set_postfix_str(f"{seconds:.0f} s of sound, {speed:.0f} x real time")

    def finished(self, transcript: Transcript) -> None:
        """The transcript of a file is complete."""
        self._show(transcript.source, 1.0)

    def _show(self, source: Source, share: float) -> None:
        now = share * self._sizes[source]
        self._bar.update(now - self._shown.get(source, 0.0))
        self._shown[source] = now
