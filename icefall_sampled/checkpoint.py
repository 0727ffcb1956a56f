"""Checkpoints: written atomically, found again, averaged.

A checkpoint contains only tensors, numbers and text, so loading one runs no code.
"""

from __future__ import annotations

import ast
import logging
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from torch import Tensor

from icefall_sampled.errors import UserError, first_line
from icefall_sampled.files import replacing

BEST = "best.pt"
PATTERN = "step-*.pt"

logger = logging.getLogger(__name__)


class CheckpointError(UserError):
    """A checkpoint that cannot be written, read or used; the message says why."""


def path_of(exp_dir: Path, step: int) -> Path:
    """The path of the checkpoint of a step."""
    return exp_dir / f"step-{step:08d}.pt"


class _Writer:
    """A file that stores its first write error instead of raising it.

    Torch writes from C++. If a write raises while torch closes the archive, that ends the whole
    process (`terminate called`), not only the call.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write; after the first error, do nothing."""
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: closing the file flushes it."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically: `path` is always the complete old or new file.

    Raises:
        CheckpointError: where the disk is full or the folder cannot be written.
    """
    with _writing(path) as temporary, temporary.open("wb") as file:
        writer = _Writer(file)
        torch.save(_without_floats(state), cast(IO[bytes], writer))
        if writer.error is not None:
            raise writer.error


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """`replacing`, with errors that name the checkpoint."""
    try:
        with replacing(path, durable=True) as temporary:
            yield temporary
    except OSError as error:
        raise CheckpointError(f"cannot write checkpoint {path}: {first_line(error)}") from error


_FLOAT = "float:"


def _without_floats(state: Any) -> Any:
    """Nested containers with each float as text: torch 1.13's safe loader rejects floats."""
    return _mapped(state, lambda x: _FLOAT + x.hex() if isinstance(x, float) else x)


def _with_floats(state: Any) -> Any:
    """The inverse of `_without_floats`, exact to the bit."""
    return _mapped(
        state,
        lambda x: (
            float.fromhex(x[len(_FLOAT) :]) if isinstance(x, str) and x.startswith(_FLOAT) else x
        ),
    )


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(entry, change) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(entry, change) for entry in value)
    return change(value)


def copy(source: Path, target: Path) -> None:
    """Copy a checkpoint atomically."""
    with _writing(target) as temporary:
        shutil.copyfile(source, temporary)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: where the file is missing, damaged or not a checkpoint.
    """
    state = read(path)
    if not {"model", "config", "step", "factories"} <= set(state):
        raise CheckpointError(f"{path} is not a checkpoint of this version of the project")
    return state


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint of any origin onto the CPU; no code in it is run.

    Raises:
        CheckpointError: where the file is missing, damaged or no dict.
    """
    try:
        state = _with_floats(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except Exception as error:  # zip, pickle and EOF errors of a damaged file
        raise CheckpointError(f"{path} is not a whole checkpoint: {first_line(error)}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a checkpoint")
    return state


def find(exp_dir: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, without best.pt."""
    return sorted(exp_dir.glob(PATTERN))


def prune(exp_dir: Path, keep: int) -> None:
    """Delete all but best.pt, the latest `keep`, and what a killed process left half written."""
    for path in [*find(exp_dir)[:-keep], *exp_dir.glob(".*.pt")]:
        path.unlink()


def available(exp_dir: Path, avg: int) -> int:
    """How many of the latest `avg` checkpoints there are; if none is, `avg`."""
    found = len(find(exp_dir))
    if not 0 < found < avg:
        return avg
    logger.warning("avg is %d, %d checkpoints are in %s", avg, found, exp_dir)
    return found


def average(paths: list[Path]) -> dict[str, Any]:
    """The newest checkpoint, with the mean of the weights of all checkpoints.

    The mean is taken in float64; counters (such as batch norm's) come from the newest.

    Raises:
        CheckpointError: where their weights differ in names or shapes.
    """
    assert paths
    newest = load(paths[-1])
    total: dict[str, Tensor] = {
        k: v.double() for k, v in newest["model"].items() if v.is_floating_point()
    }
    for path in paths[:-1]:
        model = load(path)["model"]
        if {k: v.shape for k, v in model.items()} != {
            k: v.shape for k, v in newest["model"].items()
        }:
            raise CheckpointError(f"{path} and {paths[-1]} are of different models")
        for name in total:
            total[name] += model[name]
    for name, value in total.items():
        mean: Tensor = value / len(paths)
        newest["model"][name] = mean.to(newest["model"][name].dtype)
    return newest


def rng_state() -> dict[str, Any]:
    """The random states of Python, NumPy and torch, as tensors and text."""
    kind, keys, position, has_gauss, gauss = cast(tuple[Any, ...], np.random.get_state())
    state: dict[str, Any] = {
        "python": repr(random.getstate()),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore the random states that `rng_state` returned."""
    random.setstate(ast.literal_eval(state["python"]))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
