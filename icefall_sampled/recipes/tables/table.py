"""What a table over seeds shows, as a recipe's local/table.json says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tyro

from icefall_sampled.cli import in_one_sentence
from icefall_sampled.config import DecodeConfig, from_json, settings_of
from icefall_sampled.errors import UserError
from icefall_sampled.files import read_text
from icefall_sampled.recipes.results import row_of

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

    @cached_property
    def settings(self) -> str:
        """The part of file names that tells it from other decodings.

        Raises:
            UserError: where decode.py would not take the flags.
        """
        default = DecodeConfig()
        try:
            config = in_one_sentence(
                lambda: tyro.cli(DecodeConfig, default=default, args=list(self.flags))
            )
            config.validate()
        except UserError as error:
            raise UserError(f"flags of the decoding {self.name!r}: {error}") from error
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
class Comparison:
    """A question to the table: one row against another, or one decoding against another."""

    row: str
    """A variant."""
    against: str = ""
    """The variant that is subtracted; empty for the same one, in another decoding."""
    decoding: str = ""
    """The name of a decoding; empty for that of the figure."""
    against_decoding: str = ""
    """That of what is subtracted; empty for the same one."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """What stands on one side of a comparison."""

    row: Row
    decoding: Decoding


@dataclass(frozen=True, kw_only=True)
class SeedTable:
    """A table whose rows are trained with several seeds each."""

    header: Path
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
    comparisons: tuple[Comparison, ...] = ()
    """Shown besides the differences from the baseline."""
    data_dir: Path = Path("data")
    """What prepare.sh made for these rows, from the recipe's folder."""
    output: Path = Path("RESULTS.md")
    """What is written, likewise; the figure goes beside it."""

    @property
    def figure_label(self) -> str:
        """The error that the figure shows, as a phrase."""
        return f"{self.measures[0].name} on {self.figure_set}, {self.figure_decoding}"

    def row(self, variant: str) -> Row:
        """A row by its variant.

        Raises:
            UserError: where there is none; says which there are.
        """
        return row_of(self.rows, variant)

    def decoding(self, name: str) -> Decoding:
        """A decoding by its name.

        Raises:
            UserError: where there is none; says which there are.
        """
        for decoding in self.decodings:
            if decoding.name == name:
                return decoding
        known = "; ".join(decoding.name for decoding in self.decodings)
        raise UserError(f"decodings: there is no {name!r}, it must be one of {known}")

    def decodings_of(self, variant: str) -> tuple[Decoding, ...]:
        """Those that fit a row."""
        row = self.row(variant)
        return tuple(decoding for decoding in self.decodings if decoding.fits(row))

    def sides_of(self, comparison: Comparison) -> tuple[Side, Side]:
        """What is compared, and what is subtracted from it.

        Raises:
            UserError: where the table has no such row or decoding, a row cannot be decoded so, or
                both sides are the same.
        """
        row, decoding = comparison.row, comparison.decoding or self.figure_decoding
        mine = Side(row=self.row(row), decoding=self.decoding(decoding))
        other = Side(
            row=self.row(comparison.against or row),
            decoding=self.decoding(comparison.against_decoding or decoding),
        )
        for side in (mine, other):
            if not side.decoding.fits(side.row):
                raise UserError(
                    f"comparisons: {side.row.variant} has no CTC head, it must be compared without "
                    f"{side.decoding.name!r}"
                )
        if mine == other:
            raise UserError(f"comparisons: {row} is compared with itself, it must be with another")
        return mine, other


def read_table(path: Path) -> SeedTable:
    """Read a recipe's local/table.json.

    Raises:
        UserError: where there is none, or a field is missing or wrong; names it.
    """
    if not path.is_file():
        raise UserError(f"table is {path}, it must be a recipe's local/table.json")
    text = read_text(path)
    try:
        table = from_json(SeedTable, text)
        for name, value, legal, rule in _rules(table):
            if not legal:
                raise UserError(f"{name} is {value!r}, it must be {rule}")
        table.row(table.baseline)
        table.decoding(table.figure_decoding)
        for comparison in table.comparisons:
            table.sides_of(comparison)
    except (UserError, TypeError) as error:
        raise UserError(f"{path} is not a table: {error}") from error
    return table


def _rules(table: SeedTable) -> Iterator[tuple[str, object, bool, str]]:
    """Fields, what they are, whether that can work, and what would."""
    units = [measure.unit for measure in table.measures]
    lists: list[tuple[str, Sequence[object], Sequence[str]]] = [
        ("rows.variant", [row.variant for row in table.rows], ()),
        ("sets", table.sets, ()),
        ("shown", table.shown, table.sets),
        ("measures.unit", units, UNITS),
        ("decodings.name", [decoding.name for decoding in table.decodings], ()),
    ]
    for name, values, known in lists:
        legal = _names_once(values) and (not known or set(values) <= set(known))
        what = f"among {', '.join(known)}" if known else "text"
        yield name, values, legal, f"at least one, each once, {what}"
    whole = all(type(seed) is int and seed > 0 for seed in table.seeds)
    rule = "at least one, each once, whole numbers above 0"
    yield "seeds", table.seeds, whole and _once(table.seeds), rule
    yield "figure_set", table.figure_set, table.figure_set in table.shown, "one of shown"
    for decoding in table.decodings:
        flags = all(isinstance(flag, str) for flag in decoding.flags)
        yield "decodings.flags", decoding.flags, flags, "text"
    settings = [decoding.settings for decoding in table.decodings]
    yield "decodings.flags", settings, _once(settings), "others in each decoding"


def _names_once(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) and value for value in values) and _once(values)


def _once(values: Sequence[object]) -> bool:
    """Whether there are any, and none of them twice."""
    return 0 < len(values) == len(set(values))
