"""Memory of tensors: the peak of a step, how it grows with the batch, and what is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

MIB = 2**20
_CGROUP = Path("/sys/fs/cgroup")


def peak_allocated_mib(step: Callable[[], object], device: torch.device) -> float:
    """The most MiB of tensors at once during `step`, beyond those that were there before it.

    On a GPU torch's allocator counts. On a CPU torch's profiler reports every allocation and
    release, so the figure is that of the tensors and not of the process.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return (torch.cuda.max_memory_allocated(device) - before) / MIB
    with _recording() as recorded:
        step()
    live, highest = 0, 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()  # negative where memory is released
            highest = max(highest, live)
    return highest / MIB


@contextmanager
def _recording() -> Iterator[Any]:
    """Torch's profiler, without its messages on standard error."""
    recorder = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    with _silence():
        recorder.__enter__()
    # Torch 1.13 would spend most of the time on parsing events that are not used here.
    recorder.profiler._parse_kineto_results = lambda _: []  # type: ignore
    try:
        yield recorder
    finally:
        with _silence():
            recorder.__exit__(None, None, None)


@contextmanager
def _silence() -> Iterator[None]:
    """Discard the messages that C++ writes to standard error."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@dataclass(frozen=True)
class Line:
    """MiB of a training step, by the number of its utterances, all of one size.

    The peak is the highest of several moments (early in backward, the update of the weights, …),
    and the memory of each of them grows linearly. So the line is right beyond the measured batches
    unless another moment overtakes.
    """

    resident_mib: float
    """Before the step: weights, their running mean, the optimizer's states, and gradients if they
    accumulate."""
    points: tuple[tuple[int, float], ...]
    """Numbers of utterances, two or more, and the MiB that were measured with them."""

    @property
    def each(self) -> float:
        """MiB of a further utterance."""
        (few, less), (many, more) = self.points[-2:]
        return (more - less) / (many - few)

    def is_settled(self, budget_mib: float) -> bool:
        """Whether the last three points are on a line, and larger batches are, too.

        If what grows is ten times what does not, a moment that overtakes later is steeper by a
        tenth at most. `budget_mib` is what may have grown so far and then does so no more.
        """
        if len(self.points) < 3:
            return False
        (few, least), (some, less), (many, most) = self.points[-3:]
        bend = abs(less - least - (some - few) * self.each)
        constant = max(most - many * self.each - self.resident_mib, budget_mib)
        return bend <= 0.05 * (some - few) * self.each and many * self.each >= 10 * constant

    def at(self, num: int) -> float:
        """MiB of a step with `num` utterances."""
        pair = next((p for p in pairwise(self.points) if num <= p[1][0]), self.points[-2:])
        (few, less), (many, more) = pair
        return less + (num - few) * (more - less) / (many - few)

    def largest(self, mib: float) -> int:
        """The most utterances whose step fits into `mib`; 0 if not even one does."""
        last, taken = self.points[-1]
        if mib < taken or self.each <= 0:
            return max((num for num in range(1, last + 1) if self.at(num) <= mib), default=0)
        return last + int((mib - taken) / self.each)


def available_mib(device: torch.device) -> float:
    """Free memory on a device; for the CPU, also within the limit of the container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (free + unused) / MIB
    return min(_host_bytes(), _container_bytes()) / MIB


def _host_bytes() -> float:
    """MemAvailable on Linux; 4 GiB on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 4096.0 * MIB
    sizes = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(sizes["MemAvailable"].split()[0])


def _container_bytes() -> float:
    """Memory left in the control group; infinity if it sets no limit."""
    try:
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or the word max
        return float("inf")
    return float(max(limit - used, 0))
