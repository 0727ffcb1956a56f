"""Made-up results of training runs, for tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from icefall_sampled.recipes.tables.result import (
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
    "comparisons": [
        {"row": "sampled", "against": "full_noaux"},
        {"row": "full", "decoding": "held", "against_decoding": "greedy"},
    ],
    "rows": [
        {"variant": "full", "description": "all classes", "classes": "500"},
        {"variant": "sampled", "description": "some", "classes": "100 of 500"},
        {"variant": "full_noaux", "description": "bare", "classes": "500", "has_ctc": False},
    ],
}


def write_table(folder: Path, **changes: object) -> Path:
    """Write `table.json` and the text before its table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "header.md").write_text("# Results\n")
    path = folder / "table.json"
    path.write_text(json.dumps(TABLE | changes))
    return path


def make_result(variant: str, seed: int, words: tuple[int, ...]) -> RunResult:
    """A run with these word errors: utterances have ten words of four letters each. With the
    constraint the first utterance has one error less.
    """
    count = len(words)
    errors, fewer = (
        Errors(words=number, characters=tuple(2 * n for n in number))
        for number in (words, tuple(max(0, n - (i == 0)) for i, n in enumerate(words)))
    )
    part = SetErrors(
        ids=tuple(f"utterance-{i}" for i in range(count)),
        words=(10,) * count,
        characters=(40,) * count,
        decodings={GREEDY: errors, CONSTRAINED: fewer},
    )
    trained = Trained(
        variant=variant, seed=seed, commit="abc1234", machine="2 x Abacus (x86_64)", torch="1.13.1",
        lattice="k2", steps=3600, processor_seconds=100.0 + seed, changes="",
    )  # fmt: skip
    memory = {"full, stored": 100.0, "full, fused": 40.0}
    if variant == "sampled":
        memory |= {"sampled, stored": 50.0, "sampled, fused": 30.0}
    return RunResult(
        trained=trained, config=f"digest of {variant}", memory_mib=memory,
        dev_curves={"wer_percent": ((600, None, 50.0 + seed), (1200, 30.0 + seed, 25.0))},
        decoded=("Commit abc1234.",), sets={"test": part},
    )  # fmt: skip


def write_run(
    folder: Path,
    variant: str,
    seed: int,
    words: tuple[int, ...],
    *,
    config: str = "",
    **trained: Any,
) -> Path:
    """Write `make_result` to a file, with changes."""
    result = make_result(variant, seed, words)
    path = path_of(folder, variant, seed)
    changed = replace(result, trained=replace(result.trained, **trained))
    write_result(path, replace(changed, config=config or result.config))
    return path
