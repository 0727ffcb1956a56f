"""What a table over seeds shows, as a recipe's local/table.json says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from icefall_sampled.cli import in_one_sentence
from icefall_sampled.config_json import from_json
from icefall_sampled.decoding.config import DecodeConfig, settings_of

UNITS = ("words", "characters", "utterances")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row: a variant of the recipe's train.py."""

    variant: str
    """Its name in train.py."""
    description: str
    """What it is, as a phrase."""
    classes: str
    """Classes in the softmax, as text, as in "100 of 500"."""
    has_ctc: bool = True
    """Whether the model has a CTC head, which decoding with --ctc-top-k needs."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """A way in which every row is decoded."""

    name: str
    """As a phrase."""
    flags: tuple[str, ...]
    """Of decode.py: all that decides the result, --avg included."""

    @property
    def settings(self) -> str:
        """The part of file names that tells it from other decodings."""
        default = DecodeConfig()
        config = in_one_sentence(
            lambda: tyro.cli(DecodeConfig, default=default, args=list(self.flags))
        )
        return settings_of(config)

    def fits(self, row: Row) -> bool:
        """Whether the row's models can be decoded so."""
        return row.has_ctc or not any(flag.startswith("--ctc-top-k") for flag in self.flags)


GREEDY = ("--method", "greedy", "--avg", "1")
BEAM = ("--method", "time_sync_beam", "--beam", "10", "--avg", "1")
CONSTRAINT = ("--ctc-top-k", "100")
DECODINGS = (
    Decoding(name="greedy", flags=GREEDY),
    Decoding(name="greedy, CTC constraint of 100 classes", flags=GREEDY + CONSTRAINT),
    Decoding(name="time_sync_beam, beam 10", flags=BEAM),
    Decoding(
        name="time_sync_beam, beam 10, CTC constraint of 100 classes", flags=BEAM + CONSTRAINT
    ),
)
"""Of a table that names no others."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """An error rate that the table shows."""

    unit: str
    """One of UNITS: what an error is counted in. An utterance is wrong where any word is."""
    name: str
    """The heading of its column, as in "WER %"."""


@dataclass(frozen=True, kw_only=True)
class SeedTable:
    """A table whose rows are trained with several seeds each."""

    header: str
    """Markdown file with the text that the table follows, beside table.json."""
    baseline: str
    """The row from which the differences are taken."""
    seeds: tuple[int, ...]
    """Of the trainings of each row."""
    sets: tuple[str, ...]
    """Sets that every run is decoded on."""
    shown: tuple[str, ...]
    """Those of them that RESULTS.md shows."""
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    figure_set: str
    """The set of which the figure shows the error, by the first measure."""
    figure_decoding: str = DECODINGS[2].name
    """The name of the decoding that the figure shows."""
    decodings: tuple[Decoding, ...] = DECODINGS

    @property
    def figure_label(self) -> str:
        """The error that the figure shows, as a phrase."""
        return f"{self.measures[0].name} on {self.figure_set}, {self.figure_decoding}"

    def row(self, variant: str) -> Row:
        """A row by its variant.

        Raises:
            ValueError: where there is none; says which there are.
        """
        for row in self.rows:
            if row.variant == variant:
                return row
        known = ", ".join(row.variant for row in self.rows)
        raise ValueError(f"rows: there is no {variant!r}, it must be one of {known}")

    def decodings_of(self, variant: str) -> tuple[Decoding, ...]:
        """Those that fit a row."""
        row = self.row(variant)
        return tuple(decoding for decoding in self.decodings if decoding.fits(row))


def read_table(path: Path) -> SeedTable:
    """Read a recipe's local/table.json.

    Raises:
        ValueError: where there is none, or a field is missing or wrong; names it.
    """
    if not path.is_file():
        raise ValueError(f"table is {path}, it must be a recipe's local/table.json")
    try:
        table = from_json(SeedTable, path.read_text(encoding="utf-8"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a table: {error}") from error
    table.row(table.baseline)
    decodings = tuple(decoding.name for decoding in table.decodings)
    for field, value, known in [
        *(("measures.unit", measure.unit, UNITS) for measure in table.measures),
        *(("shown", name, table.sets) for name in table.shown),
        ("figure_set", table.figure_set, table.shown),
        ("figure_decoding", table.figure_decoding, decodings),
    ]:
        if value not in known:
            raise ValueError(f"{field} in {path} is {value!r}, it must be among {', '.join(known)}")
    return table
