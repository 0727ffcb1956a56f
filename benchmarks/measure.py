"""Time and memory of one forward and backward pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

MIB = 2**20
Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Step:
    """Loss and times of one forward and backward pass."""

    loss: float
    """The loss in nats."""
    forward_seconds: float
    backward_seconds: float
    cpu_seconds: float
    """Processor time of both, over all threads."""

    @property
    def total_seconds(self) -> float:
        """Wall-clock time of forward and backward."""
        return self.forward_seconds + self.backward_seconds


def run_step(loss: Loss, leaves: Iterable[Tensor], device: torch.device) -> Step:
    """Run forward and backward once, with newly allocated gradients."""
    for leaf in leaves:
        leaf.grad = None
    began, cpu_began = _now(device), time.process_time()
    value = loss()
    middle = _now(device)
    value.backward()
    ended = _now(device)
    cpu_seconds = time.process_time() - cpu_began
    return Step(value.item(), middle - began, ended - middle, cpu_seconds)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def counted_step(loss: Loss, leaves: list[Tensor], device: torch.device) -> tuple[Step, float]:
    """A step, and the peak memory of its tensors in MiB, without the gradients.

    Torch's profiler reports each allocation and release. The allocations that are gradients of the
    leaves at the end are left out, whenever they were made.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, profile_memory=True) as recorded:
        step = run_step(loss, leaves, device)
    events = [
        (event.start_time_ns, event.extra_fields)
        for event in _walk(recorded.profiler.kineto_results.experimental_event_tree())
        if type(event.extra_fields).__name__ == "_ExtraFields_Allocation"
        and event.extra_fields.device.type == device.type
    ]
    events.sort(key=lambda event: event[0])
    changes = [(fields.ptr, fields.alloc_size) for _, fields in events]
    kept = {_address(leaf.grad) for leaf in leaves if leaf.grad is not None}
    return step, peak_bytes(changes, kept) / MIB


def _walk(events: list[Any]) -> Iterator[Any]:
    for event in events:
        yield event
        yield from _walk(event.children)


def _address(tensor: Tensor) -> int:
    """Start address of the tensor's storage."""
    return tensor.data_ptr() - tensor.storage_offset() * tensor.element_size()


def peak_bytes(changes: list[tuple[int, int]], kept: set[int]) -> int:
    """The peak of the memory that is allocated and not released.

    Args:
        changes: address and bytes in order, negative for a release.
        kept: addresses whose last allocation does not count.
    """
    not_counted = {}
    for place, (address, size) in enumerate(changes):
        if size > 0 and address in kept:
            not_counted[address] = place
    live, peak = 0, 0
    for place, (address, size) in enumerate(changes):
        if not_counted.get(address) != place:
            live += size
            peak = max(peak, live)
    return peak


class ProcessPeak:
    """Peak memory of the whole process since this object was created, from the system.

    It is a cross-check: packages may allocate without torch. On a GPU it is torch's own maximum.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._before = math.nan
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device) / MIB
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
            self._before = self._status("VmRSS")
        except OSError:  # not Linux, or not allowed
            pass

    def mib(self) -> float:
        """Increase since the creation, in MiB; NaN if the system does not report it."""
        if math.isnan(self._before):
            return math.nan
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / MIB - self._before
        return self._status("VmHWM") - self._before

    @staticmethod
    def _status(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))


@contextmanager
def nodes_seen() -> Iterator[list[int]]:
    """Nodes at which each pass of the fused loss computes all K classes: forward, backward.

    It hooks into the library's internals; the list stays empty if these have changed.
    """
    seen: list[int] = []
    try:
        from icefall_sampled.losses.joiner_chunks import Joiner

        chunks: Any = Joiner.chunks
    except (ImportError, AttributeError):
        yield seen
        return

    def counting(self: Any, nodes: Tensor, *arguments: Any, **options: Any) -> Any:
        seen.append(len(nodes))
        return chunks(self, nodes, *arguments, **options)

    Joiner.chunks = counting  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Joiner.chunks = chunks  # type: ignore[method-assign]
