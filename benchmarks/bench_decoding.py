#!/usr/bin/env python3
"""Time and memory of searches at the paper's size, on a trained model's posteriors.

    python -m benchmarks.bench_decoding --checkpoints exp/example_ctc exp/stateless

The models are widened to the paper's J of 640 and to V classes without changing their outputs (see
widened.py); each search runs in its own process. Measurements that are already in the results are
skipped. The meaning of the columns is below.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from tqdm import tqdm

from benchmarks import rows
from benchmarks.bench_loss import FOLDERS, RESULTS
from benchmarks.decoders import METHODS
from benchmarks.decoding_errors import DATA, errors
from benchmarks.decoding_worker import Setting
from benchmarks.machine import DECODING, ROOT, code, machine
from benchmarks.widened import Size, padded, widened_state
from icefall_sampled.cli import UserError, run_script
from icefall_sampled.config import to_json
from icefall_sampled.data import Utterances, read_cuts
from icefall_sampled.model_files import load_averaged
from icefall_sampled.modeling import Transducer

COLUMNS = (
    "method", "predictor", "vocab_size", "batch_size", "beam", "max_gap", "ctc_top_k",
    "blank_skip", "environment", "status", "note", "frames", "speech_seconds", "labels", "errors",
    "words", "repeats", "cpu_seconds", "fastest_seconds", "slowest_seconds", "total_seconds",
    "peak_rss_mib", "machine", "cores", "ram_gib", "os", "python", "torch", "peer_version",
    "commit", "dirty", "model",
)  # fmt: skip
"""Times are processor time: the median over the repeats and their range; total_seconds is the
median wall-clock time. peak_rss_mib is the memory of the process without model and encoder output.
errors are those of this batch, not of a whole set."""
IDENTITY = (
    "method", "predictor", "vocab_size", "batch_size", "beam", "max_gap", "ctc_top_k",
    "blank_skip", "environment", "machine", "commit", "dirty", "model",
)  # fmt: skip
"""Two rows with equal values here belong to the same measurement."""

VARIANTS = ((0, 1.0), (100, 1.0), (0, 0.99), (100, 0.99))
"""Pairs of ctc_top_k and blank_skip."""


def make_settings(
    *, vocab_sizes: tuple[int, ...], batch_size: int, batch_alone: int
) -> list[Setting]:
    """The measurements: all variants for the largest V, and slow searches last.

    Searches with the LSTM run in the torch2 environment. Those with the stateless predictor run in
    the k2 environment, because k2's fast beam search takes no other predictor. Greedy search and
    its peer run in both, so that the two can be compared.
    """
    usual = Setting(method="", predictor="lstm", vocab_size=0, batch_size=batch_size)
    lstm = ("one by one", "greedy", "modified_beam", "time_sync_beam")
    stateless = ("one by one", "greedy", "modified_beam", "time_sync_beam", "fast_beam")
    found = []
    for environment in ("torch2", "k2"):
        large = replace(usual, vocab_size=max(vocab_sizes), environment=environment)
        found.append(replace(large, method="encoder"))
    for vocab in sorted(vocab_sizes, reverse=True):
        variants = VARIANTS if vocab == max(vocab_sizes) else (VARIANTS[0], VARIANTS[-1])
        for kind, environment, methods in (
            ("lstm", "torch2", lstm),
            ("stateless", "k2", stateless),
        ):
            here = replace(usual, predictor=kind, vocab_size=vocab, environment=environment)
            for method in methods:
                for top, skip in variants if method != "one by one" else variants[:1]:
                    found.append(replace(here, method=method, ctc_top_k=top, blank_skip=skip))
            if vocab == max(vocab_sizes):
                found += [
                    replace(here, method=method, max_gap=4.0)
                    for method in methods
                    if method.endswith("beam")
                ]
        big = replace(usual, vocab_size=vocab)
        found += [replace(big, method=m, environment="k2") for m in ("one by one", "greedy")]
    for vocab in vocab_sizes:
        few = replace(usual, vocab_size=vocab, batch_size=batch_alone)
        found += [
            replace(few, method="beam"),
            replace(few, method="torchaudio", environment="torchaudio"),
        ]
    return found


def run_settings(
    settings: list[Setting], *, path: Path, repeats: int, checkpoints: tuple[Path, ...],
    cuts: CutSet, lang_dir: Path,
) -> int:  # fmt: skip
    """Measure what is not in the results yet; return the number of added rows."""
    common = machine() | code(DECODING)
    there = {tuple(r[name] for name in IDENTITY) for r in rows.read(path, columns=COLUMNS)}
    with tempfile.TemporaryDirectory() as folder:
        inputs = _Inputs(Path(folder), checkpoints, cuts, lang_dir)
        added = 0
        for setting in (bar := tqdm(settings, unit="row", dynamic_ncols=True)):
            bar.set_description(f"{setting.method}, V={setting.vocab_size}, {setting.predictor}")
            row = common | asdict(setting) | {"model": inputs.name(setting.predictor)}
            if tuple(str(row[name]) for name in IDENTITY) in there:
                continue
            row |= measure(setting, repeats, inputs.of(setting)) | inputs.about(setting)
            found = row.pop("found", None)
            if found is not None:
                row |= inputs.errors(setting, found)
            rows.append(path, row, columns=COLUMNS)
            added += 1
    return added


def measure(setting: Setting, repeats: int, inputs: Path) -> dict[str, Any]:
    """Run a worker and return its columns; errors of the worker are not raised."""
    python = ROOT / FOLDERS[setting.environment] / "bin/python"
    if not python.is_file():
        return {"status": "not installed", "note": "see benchmarks/setup_peers.sh"}
    # Searches that take seconds for each utterance are repeated less often.
    job = {
        "setting": asdict(setting),
        "repeats": 1 if METHODS[setting.method].slow else repeats,
        "inputs": str(inputs),
    }
    done = subprocess.run(
        [str(python), "-m", "benchmarks.decoding_worker"],
        input=json.dumps(job), capture_output=True, text=True, cwd=ROOT, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return {"status": "failed", "note": f"exit status {done.returncode}: {last[:160]}"}


class _Inputs:
    """Files with widened models and the trained encoder's output, each made once."""

    def __init__(
        self, folder: Path, checkpoints: tuple[Path, ...], cuts: CutSet, lang_dir: Path
    ) -> None:
        self._folder, self._cuts = folder, sorted(cuts, key=lambda cut: (-cut.duration, cut.id))
        self._models: dict[str, Transducer] = {}
        self._names: dict[str, str] = {}
        for exp_dir in checkpoints:
            model, self._tokens = load_averaged(exp_dir, avg=1, lang_dir=lang_dir)
            kind = model.config.predictor.kind
            self._models[kind], self._names[kind] = model, exp_dir.name

    def name(self, kind: str) -> str:
        """The name of the model with this kind of predictor.

        Raises:
            UserError: if there is none.
        """
        if kind not in self._names:
            raise UserError(f"checkpoints must have one with a predictor.kind of {kind}")
        return self._names[kind]

    def _chosen(self, setting: Setting) -> CutSet:
        """Utterances of all lengths."""
        step = max(1, len(self._cuts) // setting.batch_size)
        return CutSet.from_cuts(self._cuts[::step][: setting.batch_size])

    @torch.no_grad()
    def of(self, setting: Setting) -> Path:
        """The file for a setting."""
        kind, V, N = setting.predictor, setting.vocab_size, setting.batch_size
        path = self._folder / f"{kind}-{V}-{N}.pt"
        if not path.is_file():
            model, size = self._models[kind], Size(vocab_size=V)
            batch = Utterances(self._tokens)[self._chosen(setting)]
            encoded = padded(model.encode(batch.features, batch.lengths), size)
            inputs = {
                "config": to_json(model.config), "state": widened_state(model, size),
                "out": encoded.out, "lengths": encoded.lengths,
            }  # fmt: skip
            torch.save(inputs, path)
        return path

    def about(self, setting: Setting) -> dict[str, Any]:
        """Columns about the speech."""
        chosen = list(self._chosen(setting))
        return {"speech_seconds": round(sum(cut.duration for cut in chosen), 2)}

    def errors(self, setting: Setting, found: list[list[int]]) -> dict[str, Any]:
        """Columns about the errors of the hypotheses."""
        texts = [cut.supervisions[0].text for cut in self._chosen(setting)]
        counts = errors([self._tokens.decode(labels) for labels in found], texts)
        return {"errors": counts.total, "words": counts.reference}


def main(
    *,
    checkpoints: tuple[Path, ...],
    data_dir: Path = DATA,
    vocab_sizes: tuple[int, ...] = (2000, 4233),
    batch_size: int = 32,
    batch_alone: int = 4,
    repeats: int = 3,
    methods: tuple[str, ...] = tuple(METHODS),
    results: Path = RESULTS / "decoding.csv",
) -> None:
    """Measure time and memory of searches; each result is a row of a CSV file.

    Args:
        checkpoints: folders of two training runs of the asterisk recipe, one with an LSTM and one
            with a stateless predictor.
        data_dir: the recipe's data, with the features of test-announce.
        vocab_sizes: V, blank included.
        batch_size: utterances in a batch.
        batch_alone: utterances for searches that decode one at a time, in seconds each.
        repeats: number of repeats of each measurement.
        methods: the searches to measure.
        results: CSV file that rows are added to.
    """
    for name in methods:
        if name not in METHODS:
            raise UserError(f"methods must be among {list(METHODS)}, was {name!r}")
    settings = make_settings(
        vocab_sizes=vocab_sizes, batch_size=batch_size, batch_alone=batch_alone
    )
    settings = [setting for setting in settings if setting.method in methods]
    cuts = read_cuts(data_dir / "fbank/asterisk_cuts_test-announce.jsonl.gz", argument="data_dir")
    run_settings(
        settings, path=results, repeats=repeats, checkpoints=checkpoints, cuts=cuts,
        lang_dir=data_dir / "lang_bpe_500",
    )  # fmt: skip


if __name__ == "__main__":
    run_script(main)
