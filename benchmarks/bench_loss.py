#!/usr/bin/env python3
"""Time and peak memory of transducer losses, ours and others', each in its own process.

    python -m benchmarks.bench_loss --vocab-sizes 500 2000 --batches random sorted
    python -m benchmarks.bench_loss --posteriors random trained --checkpoint exp/example_ctc
    python -m benchmarks.bench_loss --methods "k2 pruned" "fused sampled" --flush yes no

Measurements that are already in the results, for this state of the code and this machine, are
skipped, so the same command continues where it stopped. rows.py explains the columns.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from benchmarks import rows
from benchmarks.cases import Setting, Shape, draw_shapes
from benchmarks.machine import ROOT, code, machine
from benchmarks.methods import METHODS
from benchmarks.worker import Plan
from icefall_sampled.cli import UserError, run_script

RESULTS = Path(__file__).with_name("results")
FOLDERS = {"k2": ".venv", "torch2": ".venv-torch2", "torchaudio": ".venv-torchaudio"}


def interpreter(method: str) -> tuple[str, Path]:
    """The environment of a method, and its Python; our losses run in the current one."""
    name = METHODS[method].environment
    package = METHODS[method].package
    here = package is None or _imports(package)
    return (Path(sys.prefix).name if here else FOLDERS[name]), (
        Path(sys.executable) if here else ROOT / FOLDERS[name] / "bin" / "python"
    )


def _imports(package: str) -> bool:
    try:
        __import__(package)
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def measure(setting: Setting, plan: Plan, outputs: Path | None) -> dict[str, Any]:
    """Run a worker and return its columns; errors of the worker are not raised."""
    environment, python = interpreter(setting.method)
    row = {"environment": environment}
    if not python.is_file():
        return row | {"status": "not installed", "note": "see benchmarks/setup_peers.sh"}
    job = {
        "setting": setting.to_json(),
        "plan": dataclasses.asdict(plan),
        "outputs": str(outputs) if outputs else None,
    }
    threads = str(setting.threads)
    done = subprocess.run(
        [str(python), "-m", "benchmarks.worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ
        | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / '.venv-peers'}"},
        check=False,
    )
    if done.returncode == 0:
        return row | json.loads(done.stdout.splitlines()[-1])
    if done.returncode == -9:
        return row | {"status": "does not fit", "note": "ended by the system"}
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return row | {"status": "failed", "note": f"exit status {done.returncode}: {last[:160]}"}


def run_settings(
    settings: Sequence[Setting],
    *,
    path: Path,
    plan: Plan,
    again: bool = False,
    checkpoint: Path | None = None,
    exact_frames: bool = False,
) -> int:
    """Measure what is not in the results yet; return the number of added rows.

    Args:
        settings: what to measure.
        path: CSV file of results.
        plan: how often to repeat.
        again: also measure what is already in the results.
        checkpoint: folder of a training run, if a setting has trained posteriors.
        exact_frames: see `Trained.outputs`.
    """
    if checkpoint is None and any(s.posteriors == "trained" for s in settings):
        raise UserError("checkpoint must be a training run's folder for trained posteriors")
    common = machine() | code()
    there = {rows.identity(row) for row in rows.read(path)}
    missing = []
    for setting in settings:
        model = checkpoint.name if checkpoint and setting.posteriors == "trained" else ""
        row = common | rows.columns_of(setting) | {"model": model}
        if again or rows.identity(row) not in there:
            missing.append((setting, row))
    with tempfile.TemporaryDirectory() as folder:
        inputs = _Inputs(Path(folder), checkpoint, exact_frames)
        bar = tqdm(missing, unit="row", dynamic_ncols=True)
        for setting, row in bar:
            bar.set_description(f"{setting.method}, V={setting.vocab_size}, {setting.batch}")
            rows.append(path, row | measure(setting, plan, inputs.of(setting)))
    return len(missing)


class _Inputs:
    """Files of a model's outputs, each made once."""

    def __init__(self, folder: Path, exp_dir: Path | None, exact_frames: bool) -> None:
        self.folder, self.exp_dir, self.exact_frames = folder, exp_dir, exact_frames
        self._trained: Any = None
        self._files: dict[tuple[tuple[Shape, ...], int], Path] = {}

    def of(self, setting: Setting) -> Path | None:
        """The file for a setting; None for one with random posteriors."""
        if setting.posteriors == "random":
            return None
        if self._trained is None:
            from benchmarks.trained import Trained

            assert self.exp_dir is not None
            self._trained = Trained.load(self.exp_dir)
        key = setting.shapes, setting.seed
        if key not in self._files:
            outputs = self._trained.outputs(
                setting.shapes, seed=setting.seed, exact_frames=self.exact_frames
            )
            self._files[key] = self.folder / f"{len(self._files)}.pt"
            torch.save(outputs, self._files[key])
        return self._files[key]


def make_settings(
    *,
    methods: Iterable[str],
    vocab_sizes: Iterable[int],
    batches: Iterable[str],
    num_batches: int,
    posteriors: Iterable[str],
    flush: Iterable[str],
    batch_size: int,
    **common: Any,
) -> list[Setting]:
    """All combinations, with the batches of one kind together, so that a partial run is useful."""
    shapes = [
        (f"{kind}-{i}", i, batch)
        for kind in batches
        for i, batch in enumerate(
            draw_shapes(kind, batch_size=batch_size, count=num_batches, seed=common["seed"])
        )
    ]
    seed = common.pop("seed")
    return [
        Setting(
            method=method,
            vocab_size=vocab,
            batch=name,
            shapes=batch,
            posteriors=source,
            flush=flushed == "yes",
            seed=seed + i,
            **common,
        )
        for vocab, source, flushed, (name, i, batch), method in product(
            vocab_sizes, posteriors, flush, shapes, methods
        )
    ]


def main(
    *,
    methods: tuple[str, ...] = tuple(METHODS),
    vocab_sizes: tuple[int, ...] = (500, 2000, 4233, 32768),
    num_sampled: int = 300,
    joiner_width: int = 512,
    batches: tuple[Literal["random", "sorted"], ...] = ("random", "sorted"),
    num_batches: int = 3,
    batch_size: int = 4,
    posteriors: tuple[Literal["random", "trained"], ...] = ("random",),
    checkpoint: Path | None = None,
    flush: tuple[Literal["yes", "no"], ...] = ("yes",),
    threads: int = 1,
    device: str = "cpu",
    seed: int = 0,
    plan: Plan = Plan(),  # noqa: B008 - frozen
    results: Path = RESULTS / "losses.csv",
    again: bool = False,
) -> None:
    """Measure time and peak memory of transducer losses; each result is a row of a CSV file.

    Args:
        methods: the losses to measure.
        vocab_sizes: V, blank included.
        num_sampled: K of the sampled losses; more if an utterance has more labels.
        joiner_width: J.
        batches: random utterances, or utterances of similar length.
        num_batches: number of batches of each kind.
        batch_size: N.
        posteriors: random logits, or those of a trained model, which concentrate.
        checkpoint: folder of a training run, for trained posteriors.
        flush: whether denormal numbers are flushed to zero.
        threads: number of threads.
        device: cpu or cuda.
        seed: of shapes and tensors.
        plan: how often to repeat.
        results: CSV file that rows are added to.
        again: also measure what is already in the results.
    """
    for name in methods:
        if name not in METHODS:
            raise UserError(f"methods must be among {list(METHODS)}, was {name!r}")
    settings = make_settings(
        methods=methods, vocab_sizes=vocab_sizes, batches=batches, num_batches=num_batches,
        posteriors=posteriors, flush=flush, batch_size=batch_size, num_sampled=num_sampled,
        joiner_width=joiner_width, threads=threads, device=device, seed=seed,
    )  # fmt: skip
    run_settings(settings, path=results, plan=plan, again=again, checkpoint=checkpoint)


if __name__ == "__main__":
    run_script(main)
