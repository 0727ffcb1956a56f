"""Count allocations: the peak of a step, and the memory still allocated at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

MIB = 2**20


class Allocations(NamedTuple):
    """Bytes of tensors, relative to the beginning of the step."""

    peak: float
    """The most that was allocated at once."""
    left: float
    """Allocated at the end; negative if the step released more than it allocated."""


def allocations(step: Callable[[], object], device: torch.device | None = None) -> Allocations:
    """Count what a step allocates.

    On a GPU torch's allocator counts. On a CPU torch's profiler reports every allocation and
    release, so the figure is that of the tensors and not of the process.
    """
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        peak = torch.cuda.max_memory_allocated(device) - before
        return Allocations(peak, torch.cuda.memory_allocated(device) - before)
    with _recording() as recorded:
        step()
    live, highest = 0, 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()  # negative where memory is released
            highest = max(highest, live)
    return Allocations(highest, live)


def peak_allocated_mib(step: Callable[[], object], device: torch.device) -> float:
    """Peak memory of the tensors allocated during `step`, in MiB."""
    return allocations(step, device).peak / MIB


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
