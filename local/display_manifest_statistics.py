"""Print statistics of manifests of cuts, and save them.

    display_manifest_statistics.py CUTS... [--output statistics.json]

For each manifest, and each language in it: utterances, hours, the shortest, mean and longest
utterance, words, and distinct words. Copies from speed perturbation are counted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lhotse.cut import Cut

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import read_cuts
from icefall_sampled.files import write_text
from icefall_sampled.tables import aligned

_COLUMNS = (
    *("set", "language", "utterances", "hours"),
    *("shortest_seconds", "mean_seconds", "longest_seconds", "words", "distinct_words"),
)


@dataclass(kw_only=True)
class Statistics:
    """Running totals of a set of utterances."""

    durations: list[float] = field(default_factory=list)
    words: int = 0
    distinct: set[str] = field(default_factory=set)

    def add(self, cut: Cut) -> None:
        """Count one utterance."""
        self.durations.append(cut.duration)
        words = [word for s in cut.supervisions for word in (s.text or "").split()]
        self.words += len(words)
        self.distinct.update(words)

    def row(self, name: str, language: str) -> Row:
        """The totals as a row of the table."""
        total = sum(self.durations)
        return Row(
            set=name,
            language=language,
            utterances=len(self.durations),
            hours=round(total / 3600, 3),
            shortest_seconds=round(min(self.durations), 2),
            mean_seconds=round(total / len(self.durations), 2),
            longest_seconds=round(max(self.durations), 2),
            words=self.words,
            distinct_words=len(self.distinct),
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table."""

    set: str
    language: str
    utterances: int
    hours: float
    shortest_seconds: float
    mean_seconds: float
    longest_seconds: float
    words: int
    distinct_words: int


def measure(path: Path) -> list[Row]:
    """A row for each language of a manifest, and one for all if there are several."""
    by_language: dict[str, Statistics] = defaultdict(Statistics)
    everything = Statistics()
    for cut in read_cuts(path, argument="CUTS"):
        language = cut.supervisions[0].language if cut.supervisions else None
        by_language[language or "?"].add(cut)
        everything.add(cut)
    if not everything.durations:
        raise UserError(f"{path} holds no cuts")
    name = path.name.split(".", 1)[0]
    rows = [statistics.row(name, language) for language, statistics in by_language.items()]
    return rows if len(rows) == 1 else [*rows, everything.row(name, "all")]


def as_table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    lines = [[column.replace("_", " ") for column in _COLUMNS]]
    lines += [[str(asdict(row)[column]) for column in _COLUMNS] for row in rows]
    return aligned(lines, left=2)


def main(cuts: tuple[Path, ...], /, *, output: Path | None = None) -> None:
    """Print statistics of manifests of cuts.

    Args:
        cuts: the manifests.
        output: also save the table as JSON here.
    """
    if not cuts:
        raise UserError("no manifests were given")
    rows = [row for path in cuts for row in measure(path)]
    print(as_table(rows))
    if output is not None:
        write_text(output, json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    run_script(main)
