"""The result of one training run and its decodings, as one small JSON file.

It holds the errors of every utterance, so that intervals can be computed from it, and all that
says where it comes from. Such files are committed; tables are written from them alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from icefall_sampled.config import from_json
from icefall_sampled.errors import UserError
from icefall_sampled.files import write_text

FORMAT = 1
"""Counts up when a file can no longer be read as it was."""

Curve = tuple[tuple[int, float | None, float], ...]
"""Of each validation the step, the processor seconds until then if known, and the error rate."""

CURVES = {"words": "wer_percent", "characters": "cer_percent"}
"""What validation calls the error rate in a unit, where it measures that."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training run that has ended, and where it took place."""

    variant: str
    seed: int
    commit: str
    """Of the code that trained; "+changes" follows where files differed from it. Several with
    commas between, if a run went on with other code; "unknown" for code that noted none."""
    machine: str
    """Processor, how many, and the system's architecture."""
    torch: str
    """Version."""
    lattice: str
    """The package that sums over alignments: k2 or fast_rnnt."""
    steps: int
    """Optimizer steps."""
    processor_seconds: float | None
    """Of training, over all threads and processes, interruptions left out; None if unknown. What
    loading workers took that had not ended at the last checkpoint is missing, some percent."""
    changes: str
    """Flags of train.py in which it differs from its variant, but for seed, threads and folder."""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors of each utterance of a set, in one decoding: insertions, deletions, substitutions."""

    words: tuple[int, ...]
    characters: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SetErrors:
    """Errors on one set; everything is in the order of `ids`."""

    ids: tuple[str, ...]
    """Utterances."""
    words: tuple[int, ...]
    """Words in the reference of each utterance."""
    characters: tuple[int, ...]
    """Characters in the reference of each utterance, spaces left out."""
    decodings: dict[str, Errors]
    """By the settings of decoding (`icefall_sampled.decoding.config.settings_of`)."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """All that a table needs of a training run."""

    trained: Trained
    config: str
    """Digest of the configuration, seed left out: the same in all seeds of a row."""
    dev_curves: dict[str, Curve]
    """Of greedy search on dev, from the transducer's first validation on; named as in CURVES."""
    memory_mib: dict[str, float]
    """Peak of a training step by softmax, as `icefall_sampled.memory measure` names them."""
    decoded: tuple[str, ...]
    """Commit and machine of each decoding, repeats left out."""
    sets: dict[str, SetErrors]


def write_result(path: Path, result: RunResult) -> None:
    """Write a result, on a line for each part, so that a version control system shows changes."""
    parts = {"format": FORMAT, **asdict(result)}
    lines = [f"{json.dumps(key)}: {_compact(value)}" for key, value in parts.items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_result(path: Path) -> RunResult:
    """Read what `write_result` wrote.

    Raises:
        UserError: where the file is of another format, or damaged; names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content.pop("format", None)
        if found == FORMAT:
            result = from_json(RunResult, json.dumps(content))
            _check(result)
            return result
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a whole result of a run: {error}") from error
    raise UserError(f"format in {path} is {found!r}, it must be {FORMAT}")


def _check(result: RunResult) -> None:
    """Raise UserError where a set's lists do not have an entry for each utterance."""
    for name, part in result.sets.items():
        lists = [part.words, part.characters]
        for errors in part.decodings.values():
            lists += [errors.words, errors.characters]
        for numbers in lists:
            if len(numbers) != len(part.ids):
                raise UserError(
                    f"{name} has {len(numbers)} numbers, it must have one for each of its "
                    f"{len(part.ids)} utterances"
                )
            if not all(isinstance(number, int) and number >= 0 for number in numbers):
                raise UserError(f"{name} has a count that is not a whole number of at least 0")


def path_of(folder: Path, variant: str, seed: int) -> Path:
    """Where the result of a run lies."""
    return folder / f"{variant}-seed-{seed}.json"
