"""The result of one training run as a small JSON file, from what the run left in its folder.

    seed_result.py exp/full-seed-1 --begins                                      before training
    seed_result.py exp/full-seed-1 --trained full                                after training
    seed_result.py exp/full-seed-1 --table local/table.json --output results/full-seed-1.json

The first two write down which code trained the run, and where; the third needs its decodings and
the memory of a step as well.
"""

from __future__ import annotations

from pathlib import Path

from icefall_sampled.cli import run_script
from icefall_sampled.recipes.tables.collect import collect, note_commit, note_trained
from icefall_sampled.recipes.tables.result import write_result
from icefall_sampled.recipes.tables.table import read_table


def main(
    exp_dir: Path,
    /,
    *,
    begins: bool = False,
    trained: str = "",
    table: Path = Path("local/table.json"),
    output: Path | None = None,
) -> None:
    """Write down what came of a training run.

    Args:
        exp_dir: the run's folder.
        begins: training is about to begin, or to go on.
        trained: the variant, where training has just ended.
        table: a recipe's local/table.json, which says the sets and the decodings.
        output: file for the result.
    """
    if begins:
        note_commit(exp_dir)
    if trained:
        note_trained(exp_dir, variant=trained)
    if output is not None:
        write_result(output, collect(exp_dir, table=read_table(table)))


if __name__ == "__main__":
    run_script(main)
