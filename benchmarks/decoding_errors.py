#!/usr/bin/env python3
"""Word errors of each search on a recipe's test set, with and without constraint and blank skip.

    python -m benchmarks.decoding_errors --checkpoints exp/example_ctc exp/stateless

The models are not widened. bench_decoding.py measures the cost of a search; `cpu_seconds` here only
shows which settings are worth it. Rows that already exist are skipped.
"""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import rows
from benchmarks.decoding_worker import Setting
from benchmarks.machine import DECODING, ROOT, code, machine
from icefall_sampled.cli import run_script
from icefall_sampled.config import SearchConfig
from icefall_sampled.data import read_cuts
from icefall_sampled.data.loading import ordered_batches
from icefall_sampled.decoding.scoring import ErrorCounts, Result, score
from icefall_sampled.decoding.search import search
from icefall_sampled.model_files import load_averaged
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.tokens import TokenTable

RESULTS = Path(__file__).with_name("results")
DATA = ROOT / "egs/asterisk/ASR/data"
COLUMNS = (
    "model", "predictor", "set", "method", "beam", "max_gap", "ctc_top_k", "blank_skip",
    "errors", "words", "percent", "cpu_seconds", "speech_seconds",
    "machine", "cores", "ram_gib", "os", "torch", "commit", "dirty",
)  # fmt: skip
IDENTITY = (
    "model", "set", "method", "beam", "max_gap", "ctc_top_k", "blank_skip", "commit", "dirty",
)  # fmt: skip
"""Two rows with equal values here belong to the same measurement."""

Encodings = list[tuple[Encoded, tuple[str, ...], float]]
"""For each batch: the encoder output, the references, and seconds of speech."""


@torch.no_grad()
def encodings(model: Transducer, tokens: TokenTable, cuts_file: Path) -> Encodings:
    """Encode a test set in the batches of decode.py."""
    cuts = read_cuts(cuts_file, argument="set")
    batches = ordered_batches(cuts, tokens, max_duration_seconds=200.0)
    return [
        (model.encode(batch.features, batch.lengths), tuple(batch.texts), batch.duration_seconds)
        for batch in batches
    ]


def errors(found: list[str], texts: list[str]) -> ErrorCounts:
    """Word errors of the hypotheses against the references."""
    return score(
        Result(id=str(i), reference=text.split(), hypothesis=words.split())
        for i, (words, text) in enumerate(zip(found, texts, strict=True))
    )


def measure(
    model: Transducer, encoded: Encodings, tokens: TokenTable, config: SearchConfig
) -> dict[str, Any]:
    """The measured columns."""
    found: list[list[int]] = []
    texts: list[str] = []
    began = time.process_time()
    for batch, references, _ in encoded:
        found += [best[0].tokens for best in search(model, batch, config)]
        texts += references
    seconds = time.process_time() - began
    counts = errors([tokens.decode(labels) for labels in found], texts)
    return {
        "errors": counts.total, "words": counts.reference, "percent": round(counts.percent, 3),
        "cpu_seconds": round(seconds, 3),
        "speech_seconds": round(sum(speech for _, _, speech in encoded), 2),
    }  # fmt: skip


def settings(methods: tuple[str, ...], gaps: tuple[float, ...]) -> list[SearchConfig]:
    """Each method with constraint and blank skip, and beam methods with other values of max_gap."""
    usual = Setting.max_gap  # as in the timings that these errors are compared with
    found = [
        SearchConfig(method=method, max_gap=usual, ctc_top_k=top, blank_skip=skip)  # type: ignore[arg-type]
        for method, top, skip in product(methods, (0, 100), (1.0, 0.99, 0.95))
    ]
    return found + [
        SearchConfig(method=method, max_gap=gap)  # type: ignore[arg-type]
        for method, gap in product(methods, gaps)
        if method not in ("greedy", "beam") and gap != usual
    ]


def main(
    *,
    checkpoints: tuple[Path, ...],
    data_dir: Path = DATA,
    sets: tuple[str, ...] = ("test-announce",),
    methods: tuple[str, ...] = ("greedy", "modified_beam", "time_sync_beam", "fast_beam"),
    gaps: tuple[float, ...] = (4.0, 6.0, 8.0, float("inf")),
    results: Path = RESULTS / "decoding_errors.csv",
) -> None:
    """Count the word errors of each search; each result is a row of a CSV file.

    Args:
        checkpoints: folders of training runs of the asterisk recipe.
        data_dir: the recipe's data, with the features of the sets.
        sets: test sets.
        methods: searches; fast_beam is skipped for models with an LSTM.
        gaps: further values of max_gap.
        results: CSV file that rows are added to.
    """
    torch.set_num_threads(1)
    common = machine() | code(DECODING) | {"torch": torch.__version__}
    there = {tuple(row[name] for name in IDENTITY) for row in rows.read(results, columns=COLUMNS)}
    for exp_dir, name in product(checkpoints, sets):
        model, tokens = load_averaged(exp_dir, avg=1, lang_dir=data_dir / "lang_bpe_500")
        kind = model.config.predictor.kind
        encoded = encodings(model, tokens, data_dir / f"fbank/asterisk_cuts_{name}.jsonl.gz")
        possible = tuple(m for m in methods if m != "fast_beam" or kind == "stateless")
        for config in tqdm(settings(possible, gaps), desc=f"{exp_dir.name}, {name}"):
            row = common | {
                "model": exp_dir.name, "predictor": kind, "set": name, "method": config.method,
                "beam": config.beam, "max_gap": config.max_gap, "ctc_top_k": config.ctc_top_k,
                "blank_skip": config.blank_skip,
            }  # fmt: skip
            if tuple(str(row[column]) for column in IDENTITY) not in there:
                found = measure(model, encoded, tokens, config)
                rows.append(results, row | found, columns=COLUMNS)


if __name__ == "__main__":
    run_script(main)
