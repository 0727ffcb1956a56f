"""The recipes' programs, imported from their files or run as a user runs them."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
ASTERISK = ROOT / "egs/asterisk/ASR/sampled_transducer"


def load(path: Path) -> ModuleType:
    """A program's module; its `main` is not run."""
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def asterisk_train() -> ModuleType:
    return load(ASTERISK / "train.py")


def asterisk_decode() -> ModuleType:
    return load(ASTERISK / "decode.py")


def environment() -> dict[str, str]:
    """This process's environment with one thread: what runs beside it wants a core too."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def run(*command: str | Path, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run a Python program of this environment and wait for it."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True, text=True, env=environment(), timeout=timeout, check=False,
    )  # fmt: skip


def interrupt(command: list[str | Path], *, when: Callable[[], object]) -> tuple[int, str]:
    """Press Ctrl-C once `when` is true: SIGINT to the program and all processes it started.

    Returns:
        The exit code and what was said on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], env=environment(), text=True,
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not when():
        time.sleep(0.01)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=300)
    return process.returncode, said
