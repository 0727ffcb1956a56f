"""The report that decoding writes: the utterances with the most errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lhotse import CutSet

from icefall_sampled.decoding.report.entries import Decode, entries, errors_of, in_units
from icefall_sampled.decoding.report.page import write_report
from icefall_sampled.modeling import Transducer
from icefall_sampled.scoring import Result, score
from icefall_sampled.tokens import CharTokens, TokenTable


def worst(results: Sequence[Result], count: int, tokens: TokenTable) -> list[str]:
    """Ids of the utterances with the most errors, the worst first; equals by id.

    Errors are those in words, or in characters where the token table holds characters.
    """
    counted = sorted((-errors_of(in_units(result, tokens)), result.id) for result in results)
    return [utterance_id for _, utterance_id in counted[:count]]


def report_worst(
    folder: Path,
    count: int,
    results: Sequence[Result],
    cuts: CutSet,
    model: Transducer,
    tokens: TokenTable,
    *,
    decode: Decode,
    title: str,
    manifest: Path | None = None,
    max_duration_seconds: float = 200.0,
) -> Path:
    """Write the report of a test set that was decoded.

    The chosen utterances are decoded once more, so that of all the others nothing but their
    results has to be kept, or sent from one process to another.

    Args:
        folder: of this report alone.
        count: how many utterances to show, the worst.
        results: of the whole set, in words.
        cuts: the set.
        model: as it decoded, in eval mode.
        tokens: its vocabulary.
        decode: the search, as it was.
        title: of the page.
        manifest: see `entries`.
        max_duration_seconds: speech in one batch.

    Returns:
        The path of the page.
    """
    ids = worst(results, count, tokens)
    shown = entries(
        ids, cuts, model, tokens,
        decode=decode, manifest=manifest, max_duration_seconds=max_duration_seconds,
    )  # fmt: skip
    unit = "character" if isinstance(tokens, CharTokens) else "word"
    errors = score(in_units(result, tokens) for result in results)
    summary = (
        f"{len(ids)} of {len(results)} utterances: those with the most errors. "
        f"In all of them, {errors.percent:.2f} % of {errors.reference} {unit}s."
    )
    return write_report(folder, shown, title=title, summary=summary, unit=unit)
