"""Results of training runs that never took place, for tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from icefall_sampled.tables.result import (
    Errors,
    RunResult,
    SetErrors,
    Trained,
    path_of,
    write_result,
)

GREEDY = "greedy-avg-1"
CONSTRAINED = "greedy-avg-1-ctc-top-100"
TABLE = {
    "header": "header.md",
    "baseline": "full",
    "seeds": [1, 2],
    "sets": ["dev", "test"],
    "shown": ["test"],
    "measures": [{"unit": "words", "name": "WER %"}, {"unit": "utterances", "name": "wrong %"}],
    "decodings": [
        {"name": "greedy", "flags": ["--method", "greedy", "--avg", "1"]},
        {"name": "held", "flags": ["--method", "greedy", "--avg", "1", "--ctc-top-k", "100"]},
    ],
    "figure_set": "test",
    "figure_decoding": "greedy",
    "rows": [
        {"variant": "full", "description": "all classes", "classes": "500"},
        {"variant": "sampled", "description": "some", "classes": "100 of 500"},
        {"variant": "full_noaux", "description": "bare", "classes": "500", "has_ctc": False},
    ],
}


def write_table(folder: Path, **changes: object) -> Path:
    """`table.json` and the text that its table follows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "header.md").write_text("# Results\n")
    path = folder / "table.json"
    path.write_text(json.dumps(TABLE | changes))
    return path


def make_result(variant: str, seed: int, words: tuple[int, ...]) -> RunResult:
    """A run with these errors in words: utterances of ten words, each of four letters."""
    count = len(words)
    errors = Errors(words=words, characters=tuple(2 * n for n in words))
    part = SetErrors(
        ids=tuple(f"utterance-{i}" for i in range(count)),
        words=(10,) * count,
        characters=(40,) * count,
        decodings={GREEDY: errors, CONSTRAINED: errors},
    )
    trained = Trained(
        variant=variant, seed=seed, commit="abc1234", machine="2 x Abacus (x86_64)", torch="1.13.1",
        lattice="k2", steps=3600, processor_seconds=100.0 + seed, changes="",
        dev_curves={"wer_percent": ((600, 50.5), (1200, 25.0))},
    )  # fmt: skip
    memory = {"full, stored": 100.0, "full, fused": 40.0}
    if variant == "sampled":
        memory |= {"sampled, stored": 50.0, "sampled, fused": 30.0}
    return RunResult(
        trained=trained, memory_mib=memory, decoded=("Commit abc1234.",), sets={"test": part}
    )


def write_run(
    folder: Path, variant: str, seed: int, words: tuple[int, ...], *, changes: str = ""
) -> Path:
    """`make_result` as a file."""
    result = make_result(variant, seed, words)
    path = path_of(folder, variant, seed)
    write_result(path, replace(result, trained=replace(result.trained, changes=changes)))
    return path
