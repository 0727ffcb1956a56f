"""Word and character error rates, and icefall's recogs-, errs- and wer-summary files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import kaldialign

EPSILON = "*"


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of a hypothesis, or of many, against references."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference: int = 0
    """Units (words or characters) in the references."""

    @property
    def total(self) -> int:
        """All errors."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def percent(self) -> float:
        """The error rate in percent; of empty references 0 without errors, else infinite."""
        if self.reference == 0:
            return float("inf") if self.total else 0.0
        return 100.0 * self.total / self.reference

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference + other.reference,
        )


@dataclass(frozen=True, kw_only=True)
class Result:
    """An utterance, its reference and what was recognised, in words."""

    id: str
    reference: list[str]
    hypothesis: list[str]

    def in_characters(self) -> Result:
        """The same in characters, spaces left out."""
        return Result(
            id=self.id,
            reference=list("".join(self.reference)),
            hypothesis=list("".join(self.hypothesis)),
        )


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (reference, hypothesis) of the cheapest alignment; `*` stands for nothing."""
    pairs: list[tuple[str, str]] = kaldialign.align(list(reference), list(hypothesis), EPSILON)
    return pairs


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """Errors of one utterance."""
    counts = kaldialign.edit_distance(list(reference), list(hypothesis))
    return ErrorCounts(counts["sub"], counts["del"], counts["ins"], len(reference))


def score(results: Iterable[Result]) -> ErrorCounts:
    """Errors over many utterances."""
    return sum((count_errors(r.reference, r.hypothesis) for r in results), ErrorCounts())


def write_recogs(path: Path, results: Sequence[Result]) -> None:
    """Icefall's recogs file: an utterance's `ref=[…]` and `hyp=[…]` on a line each."""
    with path.open("w", encoding="utf-8") as file:
        for result in sorted(results, key=lambda r: r.id):
            file.write(f"{result.id}:\tref={result.reference}\n")
            file.write(f"{result.id}:\thyp={result.hypothesis}\n")


def write_errs(path: Path, results: Sequence[Result], *, name: str) -> ErrorCounts:
    """Icefall's errs file: the error rate, every utterance aligned, then which words went wrong.

    Returns:
        The counts that the file reports.
    """
    counts = score(results)
    words: dict[str, Counter[tuple[str, str]]] = {
        "substitutions": Counter(), "deletions": Counter(), "insertions": Counter(),
    }  # fmt: skip
    lines = []
    for result in sorted(results, key=lambda r: r.id):
        pairs = align(result.reference, result.hypothesis)
        lines.append(f"{result.id}:\t" + " ".join(_show(a, b) for a, b in pairs))
        for pair in pairs:
            if pair[0] != pair[1]:
                kind = {pair[0]: "insertions", pair[1]: "deletions"}.get(EPSILON, "substitutions")
                words[kind][pair] += 1
    with path.open("w", encoding="utf-8") as file:
        file.write(
            f"%WER = {counts.percent:.2f}\n"
            f"Errors: {counts.insertions} insertions, {counts.deletions} deletions, "
            f"{counts.substitutions} substitutions, over {counts.reference} reference words "
            f"({counts.reference - counts.substitutions - counts.deletions} correct)\n"
            "Search below for sections starting with PER-UTT DETAILS:, SUBSTITUTIONS:, "
            f"DELETIONS:, INSERTIONS: ({name})\n\n"
            "PER-UTT DETAILS: corr or (ref->hyp)\n" + "\n".join(lines) + "\n"
        )
        for kind, counter in words.items():
            file.write(f"\n{kind.upper()}: count ref -> hyp\n")
            for (a, b), count in sorted(counter.items(), key=lambda item: (-item[1], item[0])):
                file.write(f"{count}   {a} -> {b}\n")
    return counts


def _show(reference: str, hypothesis: str) -> str:
    return reference if reference == hypothesis else f"({reference}->{hypothesis})"


def write_summary(path: Path, rows: dict[str, ErrorCounts], *, unit: str) -> None:
    """Icefall's wer-summary file: settings and error rate, the best first."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"settings\t{unit}\n")
        for settings, counts in sorted(rows.items(), key=lambda item: item[1].percent):
            file.write(f"{settings}\t{counts.percent:.2f}\n")
