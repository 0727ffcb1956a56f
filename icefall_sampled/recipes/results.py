"""Results as tables, from the files that training, decoding and measuring wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from icefall_sampled import checkpoint
from icefall_sampled.config import from_json
from icefall_sampled.errors import UserError
from icefall_sampled.files import read_json, read_text

NOT_RUN = "not run"


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of a table of the paper."""

    variant: str
    """Which of train.py's variants it is."""
    group: str
    """The heading that it stands under."""
    vocab_size: int
    sampled: str
    """Classes in the softmax, as the paper writes it."""
    auxiliary: str
    """As the paper writes it."""
    paper: tuple[str, ...]
    """Error rates of the sets in percent, as the paper writes them."""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of the paper, as a recipe's local/paper_table.json holds it."""

    title: str
    unit: str
    """WER or CER."""
    sets: tuple[str, ...]
    decoding: str
    """The paper's, as a phrase."""
    decode_flags: tuple[str, ...]
    """Of our decode.py, for what comes next to it."""
    notes: tuple[str, ...]
    """What a reader must know to compare, a paragraph each."""
    rows: tuple[PaperRow, ...]

    def row(self, variant: str) -> PaperRow:
        """A row by its variant.

        Raises:
            ValueError: where there is none; says which there are.
        """
        return row_of(self.rows, variant)


class HasVariant(Protocol):
    """A row of a table whose rows are variants of train.py."""

    @property
    def variant(self) -> str:
        """Its name."""
        ...


R = TypeVar("R", bound=HasVariant)


def row_of(rows: Iterable[R], variant: str) -> R:
    """The row of a variant.

    Raises:
        ValueError: where there is none; says which there are.
    """
    by_name = {row.variant: row for row in rows}
    if variant not in by_name:
        known = ", ".join(by_name)
        raise UserError(f"rows: there is no {variant!r}, it must be one of {known}")
    return by_name[variant]


def read_table(path: Path) -> PaperTable:
    """Read a table of the paper.

    Raises:
        ValueError: where there is none, or it is not one; names what is wrong.
    """
    if not path.is_file():
        raise UserError(f"table is {path}, it must be a recipe's local/paper_table.json")
    try:
        table = from_json(PaperTable, read_text(path))
    except UserError as error:
        raise UserError(f"{path} is not a table: {error}") from error
    if table.unit not in ("WER", "CER"):
        raise UserError(f"unit in {path} is {table.unit!r}, it must be WER or CER")
    for row in table.rows:
        if len(row.paper) != len(table.sets):
            raise UserError(
                f"paper of {row.variant} in {path} is {len(row.paper)} numbers, it must be one "
                f"for each of the {len(table.sets)} sets"
            )
    return table


def scores_of(exp_dir: Path) -> dict[str, dict[str, Any]]:
    """The scores of a run by the settings of decoding, then by set; empty if it has none."""
    return {
        path.stem.removeprefix("scores-"): read_json(path)
        for path in sorted(exp_dir.glob("*/scores-*.json"))
    }


def memory_of(exp_dir: Path) -> dict[str, float]:
    """Peak MiB of a training step by softmax; empty if it was not measured."""
    path = exp_dir / "memory.json"
    measured: dict[str, float] = read_json(path) if path.is_file() else {}
    return measured


def step_mib(memory: dict[str, float]) -> tuple[float | None, float | None]:
    """What `memory_of` says of the loss that a run was trained with; None for what it does not.

    Returns:
        Peak MiB of a step as it was trained, and with all logits of the lattice stored, as the
        paper has them (which the pruned loss never does).
    """
    if "full, pruned" in memory:
        return memory["full, pruned"], None
    softmax = "sampled" if "sampled, fused" in memory else "full"
    return memory.get(f"{softmax}, fused"), memory.get(f"{softmax}, stored")


def steps_of(exp_dir: Path) -> int:
    """Optimizer steps that a run has taken; 0 without a checkpoint."""
    found = checkpoint.find(exp_dir)
    return int(checkpoint.load(found[-1])["step"]) if found else 0


def percent(counts: dict[str, int]) -> float | None:
    """Errors in percent of the reference; None without one."""
    errors = counts["substitutions"] + counts["deletions"] + counts["insertions"]
    return 100 * errors / counts["reference"] if counts["reference"] else None


def rate(counts: dict[str, int]) -> str:
    """`percent` as a cell of a table."""
    value = percent(counts)
    return "-" if value is None else f"{value:.2f}"


def decoded_on(exp_dirs: Iterable[Path]) -> str:
    """Where and with what runs were decoded, as a paragraph; empty if none was."""
    runs: dict[str, list[str]] = {}
    for exp_dir in exp_dirs:
        for scores in scores_of(exp_dir).values():
            for score in scores.values():
                names = runs.setdefault(score.get("machine", "Commit and machine unknown."), [])
                if exp_dir.name not in names:
                    names.append(exp_dir.name)
    if len(runs) == 1:
        return f"Decoded by: {next(iter(runs))}"
    return "\n".join(f"- {', '.join(names)} decoded by: {where}" for where, names in runs.items())
