"""The recipes' programs, imported from their files or run as by a user."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
    """This process's environment with one thread: other processes need a core too."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def run(*command: str | Path, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run a Python program of this environment and wait for it."""
    process = _start(command)
    out, said = _finish(process, timeout)
    return subprocess.CompletedProcess(command, process.returncode, out, said)


def interrupt(command: Sequence[str | Path], *, when: Callable[[], object]) -> tuple[int, str]:
    """Press Ctrl-C once `when` is true: SIGINT to the program and all processes it started.

    Returns:
        The exit code and the standard error.
    """
    process = _start(command)
    while process.poll() is None and not when():
        time.sleep(0.01)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    _, said = _finish(process, 300.0)
    return process.returncode, said


def _start(command: Sequence[str | Path]) -> subprocess.Popen[str]:
    """Start a program in a new session, which includes all processes that it starts."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)], env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def _finish(process: subprocess.Popen[str], timeout: float) -> tuple[str, str]:
    """Its standard output and error; all its processes are killed at the timeout."""
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
