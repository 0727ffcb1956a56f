"""From a run's folder to its result: what training, decoding and measuring wrote there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from icefall_sampled import checkpoint
from icefall_sampled.config import Config, from_json, leaves
from icefall_sampled.data.shar import reading
from icefall_sampled.decoding import scoring
from icefall_sampled.errors import UserError
from icefall_sampled.files import read_json, read_text, write_text
from icefall_sampled.losses import lattice
from icefall_sampled.model_files import config_of
from icefall_sampled.provenance import commit, processor
from icefall_sampled.recipes.results import memory_of, scores_of
from icefall_sampled.recipes.tables.result import (
    CURVES,
    Curve,
    Errors,
    RunResult,
    SetErrors,
    Trained,
)
from icefall_sampled.recipes.tables.table import Decoding, SeedTable

TRAINED = "trained.json"
COMMITS = "commits.txt"
"""Of the code that began the run and went on with it, a line each."""
CHANGES = "changes.txt"
"""Flags of train.py besides those of every run; run_table.sh writes it before training."""

NOT_DECISIVE = ("exp_dir", "training.seed", "training.threads")


def dev_curves(exp_dir: Path) -> dict[str, Curve]:
    """(step, processor seconds, greedy error rate on dev in percent) at each validation.

    By the names in CURVES: those that training has written to TensorBoard, which begin with the
    transducer's first validation. Without TensorBoard's folder there are none.
    """
    board = exp_dir / "tensorboard"
    if not board.is_dir():
        return {}
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it reports the end of a file
    events = EventAccumulator(str(board))
    events.Reload()

    def scalars(name: str) -> dict[int, float]:
        known = f"dev/{name}" in events.Tags()["scalars"]
        return {p.step: p.value for p in events.Scalars(f"dev/{name}")} if known else {}

    seconds = {step: round(value, 1) for step, value in scalars("processor_seconds").items()}
    curves = {
        name: tuple((step, seconds.get(step), round(v, 2)) for step, v in scalars(name).items())
        for name in CURVES.values()
    }
    return {name: curve for name, curve in curves.items() if curve}


def config_digest(config: Config) -> str:
    """Which training a config asks for, as 12 hexadecimal digits of a SHA-256.

    Seed, threads and folders do not count, the names of files do. Nor do fields that are at their
    defaults: so a field that `Config` gets later does not change what older runs have.
    """
    decisive, default = (
        {
            name: value.name if isinstance(value, Path) else value
            for name, value in leaves(which).items()
            if name not in NOT_DECISIVE
        }
        for which in (config, Config())
    )
    differing = {name: value for name, value in decisive.items() if value != default[name]}
    return hashlib.sha256(json.dumps(differing, sort_keys=True).encode()).hexdigest()[:12]


def note_commit(exp_dir: Path) -> None:
    """Write down which code begins a run, or goes on with it."""
    noted = _commits(exp_dir)
    if not noted and checkpoint.find(exp_dir):
        noted = ["unknown"]
    lines = dict.fromkeys([*noted, commit()])
    write_text(exp_dir / COMMITS, "".join(f"{line}\n" for line in lines))


def _commits(exp_dir: Path) -> list[str]:
    path = exp_dir / COMMITS
    return read_text(path).splitlines() if path.is_file() else []


def note_trained(exp_dir: Path, *, variant: str) -> Trained:
    """Write down, as soon as a run is trained, which code trained it, and where.

    A run may be decoded later, by other code: so this is not left to `collect`.

    Raises:
        UserError: where the folder has no checkpoint.
    """
    state = _last_state(exp_dir)
    seconds = state.get("processor_seconds")
    changes = exp_dir / CHANGES
    trained = Trained(
        variant=variant,
        seed=config_of(state)[1].training.seed,
        commit=", ".join(_commits(exp_dir)) or commit(),
        machine=f"{os.cpu_count()} x {processor()}",
        torch=str(torch.__version__),
        lattice=str(lattice.BACKEND),
        steps=state["step"],
        processor_seconds=None if seconds is None else round(seconds, 1),
        changes=read_text(changes).strip() if changes.is_file() else "",
    )
    write_text(exp_dir / TRAINED, json.dumps(asdict(trained), indent=1))
    return trained


def _last_state(exp_dir: Path) -> dict[str, Any]:
    found = checkpoint.find(exp_dir)
    if not found:
        raise UserError(f"exp_dir is {exp_dir}, it must have a checkpoint in it")
    return checkpoint.load(found[-1])


def collect(exp_dir: Path, *, table: SeedTable) -> RunResult:
    """The result of a run that is trained, measured and decoded.

    Args:
        exp_dir: the run's folder.
        table: says of which sets and decodings it holds the errors.

    Raises:
        UserError: where any of it is missing; names the file.
    """
    path, memory = exp_dir / TRAINED, memory_of(exp_dir)
    if not path.is_file():
        raise UserError(f"{path} is missing, it must be there once the run is trained")
    noted = read_json(path)
    noted.pop("dev_curves", None)  # runs that older code trained have them there
    trained = from_json(Trained, json.dumps(noted))
    decodings = table.decodings_of(trained.variant)
    if not memory:
        raise UserError(f"{exp_dir / 'memory.json'} is missing, the run must be measured")
    scores = scores_of(exp_dir)
    wanted = {decoding.settings for decoding in decodings}
    machines = [
        str(score["machine"])
        for settings in sorted(wanted & set(scores))
        for score in scores[settings].values()
    ]
    return RunResult(
        trained=trained,
        config=config_digest(config_of(_last_state(exp_dir))[1]),
        dev_curves=dev_curves(exp_dir),
        memory_mib={name: round(mib, 2) for name, mib in memory.items()},
        decoded=tuple(dict.fromkeys(machines)),
        sets={name: _errors_on(exp_dir, name, decodings) for name in table.sets},
    )


def _errors_on(exp_dir: Path, name: str, decodings: tuple[Decoding, ...]) -> SetErrors:
    """Errors of every utterance of a set.

    Raises:
        UserError: where a decoding is missing, or has other utterances than the first.
    """
    reference: dict[str, scoring.Result] = {}
    errors = {}
    for decoding in decodings:
        decoded = _decoded(exp_dir, name, decoding.settings)
        reference = reference or decoded
        if {k: r.reference for k, r in decoded.items()} != {
            k: r.reference for k, r in reference.items()
        }:
            raise UserError(
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
        raise UserError(f"{exp_dir} has no hyps-{name}-{settings}.jsonl, it must be decoded so")
    with reading(str(found[0])), found[0].open(encoding="utf-8") as file:
        results = [
            scoring.Result(
                id=row["id"], reference=row["text"].split(), hypothesis=row["pred_text"].split()
            )
            for row in map(json.loads, file)
        ]
    return {result.id: result for result in sorted(results, key=lambda r: r.id)}
