"""Stopping on a signal at the end of a step, on all processes together."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any

from icefall_sampled.parallel import World


class StopSignal:
    """Remembers SIGINT and SIGTERM while the block runs; a second one stops at once.

    Not so under torchrun: it passes on the Ctrl-C that the terminal has sent to all its processes
    already, and by itself kills what has not ended 30 s later.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._patient = "TORCHELASTIC_RUN_ID" in os.environ
        self._seen = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._seen and not self._patient:
            raise KeyboardInterrupt
        self._seen = True

    def requested(self) -> bool:
        """Whether any process was asked to stop."""
        return self._world.sum(float(self._seen))[0] > 0
