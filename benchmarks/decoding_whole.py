#!/usr/bin/env python3
"""From audio to text on one thread: ours, and sherpa-onnx with the same model exported to it.

    python -m benchmarks.decoding_whole --checkpoint exp/stateless

The search of sherpa-onnx cannot be timed alone. The model is the recipe's own, not widened. Each
row is measured in its own process, so that its peak memory is separate.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lhotse import CutSet
from torch.nn.utils.rnn import pad_sequence

from benchmarks import rows
from benchmarks.bench_loss import RESULTS
from benchmarks.decoding_errors import DATA, errors
from benchmarks.decoding_worker import Setting
from benchmarks.machine import DECODING, ROOT, code, machine, version_of
from benchmarks.measure import ProcessPeak
from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.cli import run_script
from icefall_sampled.config import SearchConfig
from icefall_sampled.data.features import make_fbank
from icefall_sampled.decoding.search import search
from icefall_sampled.export.command import ExportConfig, export
from icefall_sampled.model_files import load_averaged

COLUMNS = (
    "runtime", "method", "max_symbols", "batch_size", "status", "note", "speech_seconds", "errors",
    "words", "percent", "cpu_seconds", "peak_rss_mib", "machine", "cores", "ram_gib", "os", "torch",
    "peer_version", "commit", "dirty", "model",
)  # fmt: skip
IDENTITY = (
    "runtime", "method", "max_symbols", "batch_size", "machine", "commit", "dirty", "model",
)  # fmt: skip
RUNS = (("ours", "greedy", 3, 16), ("ours", "greedy", 3, 1), ("sherpa-onnx", "greedy", 3, 16),
        ("sherpa-onnx", "greedy", 3, 1), ("ours", "modified_beam", 1, 16),
        ("ours", "modified_beam", 1, 1), ("sherpa-onnx", "modified_beam", 1, 16),
        ("sherpa-onnx", "modified_beam", 1, 1))  # fmt: skip
"""Runtime, search, labels at a frame (the export repeats frames for them), batch size."""

Wave = np.ndarray[Any, Any]
Recognize = Callable[[list[Wave]], list[str]]


def ours(exp_dir: Path, lang_dir: Path, method: str, max_symbols: int) -> Recognize:
    """Features, encoder and search as in the package's own programs."""
    model, tokens = load_averaged(exp_dir, avg=1, lang_dir=lang_dir)
    config = SearchConfig(method=method, max_gap=Setting.max_gap, max_symbols=max_symbols)  # type: ignore[arg-type]
    fbank = make_fbank()

    @torch.no_grad()
    def recognize(waves: list[Wave]) -> list[str]:
        features = [torch.from_numpy(np.asarray(fbank.extract(w, SAMPLING_RATE))) for w in waves]
        lengths = torch.tensor([len(x) for x in features])
        encoded = model.encode(pad_sequence(features, batch_first=True), lengths)
        return [tokens.decode(best[0].tokens) for best in search(model, encoded, config)]

    return recognize


def sherpa(folder: Path, method: str) -> Recognize:
    """The usual calls of sherpa-onnx."""
    import sherpa_onnx  # type: ignore[import-untyped]

    files = {name: str(folder / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    search_name = {"greedy": "greedy_search", "modified_beam": "modified_beam_search"}[method]
    runtime = sherpa_onnx.OfflineRecognizer.from_transducer(
        **files, tokens=str(folder / "tokens.txt"), num_threads=1, decoding_method=search_name,
        max_active_paths=10,
    )  # fmt: skip

    def recognize(waves: list[Wave]) -> list[str]:
        streams = [runtime.create_stream() for _ in waves]
        for stream, wave in zip(streams, waves, strict=True):
            stream.accept_waveform(SAMPLING_RATE, wave)
        runtime.decode_streams(streams)
        return [stream.result.text for stream in streams]

    return recognize


def work(job: dict[str, Any]) -> dict[str, Any]:
    """The columns that the measuring process determines."""
    torch.set_num_threads(1)
    data = Path(job["data_dir"])
    exp_dir, lang_dir = Path(job["checkpoint"]), data / "lang_bpe_500"
    cuts = CutSet.from_file(data / "manifests/asterisk_cuts_raw_test-announce.jsonl.gz")
    ordered = sorted(cuts, key=lambda cut: (-cut.duration, cut.id))[:: job["every"]]
    waves = [np.ascontiguousarray(cut.load_audio()[0], np.float32) for cut in ordered]
    with tempfile.TemporaryDirectory() as folder:
        if job["runtime"] == "ours":
            recognize = ours(exp_dir, lang_dir, job["method"], job["max_symbols"])
        else:
            export(
                ExportConfig(
                    exp_dir=exp_dir, out=Path(folder), format=("onnx",), avg=1, lang_dir=lang_dir,
                    max_symbols=job["max_symbols"],
                )
            )  # fmt: skip
            recognize = sherpa(Path(folder), job["method"])
        recognize(waves[-2:])
        peak, size, found = ProcessPeak(torch.device("cpu")), job["batch_size"], list[str]()
        began = time.process_time()
        for first in range(0, len(waves), size):
            found += recognize(waves[first : first + size])
        seconds = time.process_time() - began
    counts = errors(found, [cut.supervisions[0].text for cut in ordered])
    return {
        "status": "ok", "cpu_seconds": round(seconds, 3), "peak_rss_mib": round(peak.mib(), 1),
        "speech_seconds": round(sum(cut.duration for cut in ordered), 2),
        "torch": torch.__version__,
        "errors": counts.total, "words": counts.reference, "percent": round(counts.percent, 3),
    }  # fmt: skip


def main(
    *,
    checkpoint: Path | None = None,
    data_dir: Path = DATA,
    every: int = 2,
    results: Path = RESULTS / "decoding_whole.csv",
) -> None:
    """Measure from audio to text; each result is a row of a CSV file.

    Args:
        checkpoint: folder of a training run of the asterisk recipe with a stateless predictor;
            without it, answer a job on standard input: this program calls itself in this way.
        data_dir: the recipe's data.
        every: takes every n-th utterance of test-announce.
        results: CSV file that rows are added to.
    """
    if checkpoint is None:
        sys.stdout.write("\n" + json.dumps(work(json.load(sys.stdin))) + "\n")
        return
    common = machine() | code(DECODING) | {"model": checkpoint.name}
    there = {tuple(r[name] for name in IDENTITY) for r in rows.read(results, columns=COLUMNS)}
    for runtime, method, max_symbols, size in RUNS:
        job = {"runtime": runtime, "method": method, "max_symbols": max_symbols, "batch_size": size}
        row = common | job
        if tuple(str(row[name]) for name in IDENTITY) in there:
            continue
        if runtime != "ours":
            row["peer_version"] = version_of("sherpa-onnx")
        places = {"checkpoint": str(checkpoint), "data_dir": str(data_dir), "every": every}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.decoding_whole"],
            input=json.dumps(job | places), capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            row |= json.loads(done.stdout.splitlines()[-1])
        else:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            missing = "No module" in last
            row |= {"status": "not installed" if missing else "failed", "note": last[:160]}
        rows.append(results, row, columns=COLUMNS)


if __name__ == "__main__":
    run_script(main)
