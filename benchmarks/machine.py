"""The machine, the versions and the state of the code of a measurement."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from icefall_sampled.doctor import installed_version
from icefall_sampled.provenance import git, processor

ROOT = Path(__file__).resolve().parents[1]
MEASURED = (
    "icefall_sampled/losses",
    "icefall_sampled/sampling",
    "benchmarks/cases.py",
    "benchmarks/measure.py",
    "benchmarks/methods.py",
    "benchmarks/trained.py",
    "benchmarks/worker.py",
)
"""The files that determine the figures. Commits to other files do not make them outdated."""
DECODING = (
    "icefall_sampled/decoding",
    "icefall_sampled/modeling",
    "benchmarks/decoders.py",
    "benchmarks/decoding_worker.py",
    "benchmarks/widened.py",
)
"""The same for decoding."""


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system."""
    return {
        "machine": processor(),
        "cores": os.cpu_count(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": f"{platform.system()} {platform.release()}",
    }


def code(measured: tuple[str, ...] = MEASURED) -> dict[str, Any]:
    """The last commit of the measured files, and whether they have been changed since."""
    commit = git("log", "-1", "--format=%h", "--", *measured) or "unknown"
    return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--", *measured))}


def version_of(package: str | None) -> str:
    """Version of an installed package; empty if it is not installed."""
    return (package and installed_version(package)) or ""


def available_mib() -> float:
    """Memory that is available to a new process."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(float(x.split()[1]) / 1024 for x in lines if x.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
