"""Word and character error rates, and icefall's recogs-, errs- and wer-summary files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import kaldialign

from icefall_sampled.files import replacing

EPSILON = ""  # stands for nothing in an alignment; a word is never empty, but may be "*"
SHOWN_EPSILON = "*"
KINDS = {"substitutions": "ref -> hyp", "deletions": "ref", "insertions": "hyp"}


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of a hypothesis, or of many, against references."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference: int = 0
    """Units (words, characters or utterances) in the references."""

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
    """Pairs (reference, hypothesis) of the cheapest alignment; "" stands for nothing."""
    pairs: list[tuple[str, str]] = kaldialign.align(list(reference), list(hypothesis), EPSILON)
    return pairs


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """Errors of one utterance."""
    counts = kaldialign.edit_distance(list(reference), list(hypothesis))
    return ErrorCounts(counts["sub"], counts["del"], counts["ins"], len(reference))


def score(results: Iterable[Result]) -> ErrorCounts:
    """Errors over many utterances."""
    return sum((count_errors(r.reference, r.hypothesis) for r in results), ErrorCounts())


def score_whole(results: Sequence[Result]) -> ErrorCounts:
    """Utterances that are wrong anywhere, each a substitution, over all utterances."""
    wrong = sum(result.hypothesis != result.reference for result in results)
    return ErrorCounts(substitutions=wrong, reference=len(results))


def write_recogs(path: Path, results: Sequence[Result]) -> None:
    """Icefall's recogs file: an utterance's `ref=[…]` and `hyp=[…]` on a line each."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for result in sorted(results, key=lambda r: r.id):
            file.write(f"{result.id}:\tref={result.reference}\n")
            file.write(f"{result.id}:\thyp={result.hypothesis}\n")


def write_errs(path: Path, results: Sequence[Result], *, name: str) -> ErrorCounts:
    """Icefall's errs file: the error rate, every utterance aligned, then which words went wrong.

    Returns:
        The counts that the file reports.
    """
    counts = score(results)
    ordered = sorted(results, key=lambda r: r.id)
    alignments = [align(r.reference, r.hypothesis) for r in ordered]
    pairs = Counter(pair for alignment in alignments for pair in alignment)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(
            f"%WER = {counts.percent:.2f}\n"
            f"Errors: {counts.insertions} insertions, {counts.deletions} deletions, "
            f"{counts.substitutions} substitutions, over {counts.reference} reference words "
            f"({counts.reference - counts.substitutions - counts.deletions} correct)\n"
            "Search below for sections starting with PER-UTT DETAILS:, SUBSTITUTIONS:, "
            f"DELETIONS:, INSERTIONS:, PER-WORD STATS: ({name})\n\n"
            "PER-UTT DETAILS: corr or (ref->hyp)\n"
        )
        for result, alignment in zip(ordered, alignments, strict=True):
            file.write(f"{result.id}:\t" + " ".join(_show(a, b) for a, b in alignment) + "\n")
        for kind, columns in KINDS.items():
            file.write(f"\n{kind.upper()}: count {columns}\n")
            wrong = [(n, pair) for pair, n in pairs.items() if kind_of(*pair) == kind]
            for n, (a, b) in sorted(wrong, key=lambda row: (-row[0], row[1])):
                file.write(f"{n}   {f'{a} -> {b}' if a and b else a or b}\n")
        file.write("\nPER-WORD STATS: word  corr tot_errs count_in_ref count_in_hyp\n")
        file.writelines(f"{row}\n" for row in _word_stats(pairs))
    return counts


def kind_of(reference: str, hypothesis: str) -> str:
    """What a pair of an alignment is: one of KINDS, or "correct"."""
    if reference == hypothesis:
        return "correct"
    if hypothesis == EPSILON:
        return "deletions"
    return "insertions" if reference == EPSILON else "substitutions"


def _show(reference: str, hypothesis: str) -> str:
    if reference == hypothesis:
        return reference
    return f"({reference or SHOWN_EPSILON}->{hypothesis or SHOWN_EPSILON})"


def _word_stats(pairs: Counter[tuple[str, str]]) -> list[str]:
    """A line for each word, the one with the most errors first; a substitution counts for both."""
    correct, in_reference, in_hypothesis = Counter[str](), Counter[str](), Counter[str]()
    for (a, b), count in pairs.items():
        correct[a] += count if a == b else 0
        in_reference[a] += count
        in_hypothesis[b] += count
    rows = []
    for word in (in_reference | in_hypothesis).keys() - {EPSILON}:
        right, ref, hyp = correct[word], in_reference[word], in_hypothesis[word]
        rows.append((right - ref + right - hyp, word, f"{word}   {right} {ref + hyp - 2 * right}"
                     f" {ref} {hyp}"))  # fmt: skip
    return [line for _, _, line in sorted(rows)]


def write_summary(path: Path, rows: dict[str, ErrorCounts], *, unit: str) -> None:
    """Icefall's wer-summary file: settings and error rate, the best first."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f"settings\t{unit}\n")
        for settings, counts in sorted(rows.items(), key=lambda item: item[1].percent):
            file.write(f"{settings}\t{counts.percent:.2f}\n")
