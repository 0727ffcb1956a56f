"""From a run's folder to its result: what training, decoding and measuring wrote there."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from icefall_sampled import checkpoint, scoring
from icefall_sampled.config import Config
from icefall_sampled.config_json import from_json
from icefall_sampled.files import replacing
from icefall_sampled.losses import lattice
from icefall_sampled.results import commit, memory_of, processor, scores_of
from icefall_sampled.tables.result import Errors, RunResult, SetErrors, Trained
from icefall_sampled.tables.table import Decoding, SeedTable

TRAINED = "trained.json"
CHANGES = "changes.txt"
"""Flags of train.py besides those of every run; run_table.sh writes it before training."""


Curve = tuple[tuple[int, float], ...]


def dev_curves(exp_dir: Path) -> dict[str, Curve]:
    """(step, greedy error rate on dev in percent) at each validation of the transducer.

    By measure, wer_percent or cer_percent: those that training has written to TensorBoard.
    """
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it reports the end of a file
    events = EventAccumulator(str(exp_dir / "tensorboard"))
    events.Reload()
    measured = events.Tags()["scalars"]
    return {
        name: tuple((p.step, round(p.value, 2)) for p in events.Scalars(f"dev/{name}"))
        for name in ("wer_percent", "cer_percent")
        if f"dev/{name}" in measured
    }


def note_trained(exp_dir: Path, *, variant: str) -> Trained:
    """Write down, as soon as a run is trained, which code trained it, and where.

    A run may be decoded later, by other code: so this is not left to `collect`.

    Raises:
        ValueError: where the folder has no checkpoint.
    """
    found = checkpoint.find(exp_dir)
    if not found:
        raise ValueError(f"exp_dir is {exp_dir}, it must have a checkpoint in it")
    state = checkpoint.load(found[-1])
    seconds = state.get("processor_seconds")
    changes = exp_dir / CHANGES
    trained = Trained(
        variant=variant,
        seed=from_json(Config, state["config"]).training.seed,
        commit=commit(),
        machine=f"{os.cpu_count()} x {processor()}",
        torch=str(torch.__version__),
        lattice=str(lattice.BACKEND),
        steps=state["step"],
        processor_seconds=None if seconds is None else round(seconds, 1),
        changes=changes.read_text(encoding="utf-8").strip() if changes.is_file() else "",
        dev_curves=dev_curves(exp_dir),
    )
    with replacing(exp_dir / TRAINED) as temporary:
        temporary.write_text(json.dumps(asdict(trained), indent=1), encoding="utf-8")
    return trained


def collect(exp_dir: Path, *, table: SeedTable) -> RunResult:
    """The result of a run that is trained, measured and decoded.

    Args:
        exp_dir: the run's folder.
        table: says of which sets and decodings it holds the errors.

    Raises:
        ValueError: where any of it is missing; names the file.
    """
    path, memory = exp_dir / TRAINED, memory_of(exp_dir)
    if not path.is_file():
        raise ValueError(f"{path} is missing, it must be there once the run is trained")
    trained = from_json(Trained, path.read_text(encoding="utf-8"))
    decodings = table.decodings_of(trained.variant)
    if not memory:
        raise ValueError(f"{exp_dir / 'memory.json'} is missing, the run must be measured")
    scores = scores_of(exp_dir)
    wanted = {decoding.settings for decoding in decodings}
    machines = [
        str(score["machine"])
        for settings in sorted(wanted & set(scores))
        for score in scores[settings].values()
    ]
    return RunResult(
        trained=trained,
        memory_mib={name: round(mib, 2) for name, mib in memory.items()},
        decoded=tuple(dict.fromkeys(machines)),
        sets={name: _errors_on(exp_dir, name, decodings) for name in table.sets},
    )


def _errors_on(exp_dir: Path, name: str, decodings: tuple[Decoding, ...]) -> SetErrors:
    """Errors of every utterance of a set.

    Raises:
        ValueError: where a decoding is missing, or has other utterances than the first.
    """
    reference: dict[str, scoring.Result] = {}
    errors = {}
    for decoding in decodings:
        decoded = _decoded(exp_dir, name, decoding.settings)
        reference = reference or decoded
        if {k: r.reference for k, r in decoded.items()} != {
            k: r.reference for k, r in reference.items()
        }:
            raise ValueError(
                f"{name} in {exp_dir} is not the same utterances in all decodings, it must be: "
                f"decode it again with {' '.join(decoding.flags)}"
            )
        errors[decoding.settings] = Errors(
            words=tuple(_count(result) for result in decoded.values()),
            characters=tuple(_count(result.in_characters()) for result in decoded.values()),
        )
    return SetErrors(
        ids=tuple(reference),
        words=tuple(len(r.reference) for r in reference.values()),
        characters=tuple(len(r.in_characters().reference) for r in reference.values()),
        decodings=errors,
    )


def _count(result: scoring.Result) -> int:
    return scoring.count_errors(result.reference, result.hypothesis).total


def _decoded(exp_dir: Path, name: str, settings: str) -> dict[str, scoring.Result]:
    """What was recognised of a set, by utterance id and in its order."""
    found = sorted(exp_dir.glob(f"*/hyps-{name}-{settings}.jsonl"))
    if not found:
        raise ValueError(f"{exp_dir} has no hyps-{name}-{settings}.jsonl, it must be decoded so")
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in found[0].read_text(encoding="utf-8").splitlines()
    ]
    results = [
        scoring.Result(
            id=row["id"], reference=row["text"].split(), hypothesis=row["pred_text"].split()
        )
        for row in rows
    ]
    return {result.id: result for result in sorted(results, key=lambda r: r.id)}
