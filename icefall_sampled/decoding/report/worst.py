"""The report that decoding writes: the utterances with the most errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lhotse import CutSet

from icefall_sampled.decoding.jsonl import Decoded
from icefall_sampled.decoding.report.entries import entries, errors_of, in_units
from icefall_sampled.decoding.report.page import write_report
from icefall_sampled.decoding.scoring import score
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import CharTokens, TokenTable


def worst(decoded: Sequence[Decoded], count: int, tokens: TokenTable) -> list[Decoded]:
    """The utterances with the most errors, the worst first; ties by id.

    Errors are those in words, or in characters where the token table holds characters.
    """

    def rank(utterance: Decoded) -> tuple[int, str]:
        return -errors_of(in_units(utterance.result(tokens), tokens)), utterance.id

    return sorted(decoded, key=rank)[:count]


def report_worst(
    folder: Path,
    count: int,
    decoded: Sequence[Decoded],
    cuts: CutSet,
    model: Transducer,
    tokens: TokenTable,
    *,
    title: str,
    manifest: Path | None = None,
    max_duration_seconds: float = 200.0,
) -> Path:
    """Write the report of a decoded test set.

    Args:
        folder: of this report alone.
        count: how many of the worst utterances to show.
        decoded: all of the set.
        cuts: the set.
        model: in eval mode.
        tokens: its vocabulary.
        title: of the page.
        manifest: see `entries`.
        max_duration_seconds: speech in one batch.

    Returns:
        The path of the page.
    """
    chosen = worst(decoded, count, tokens)
    shown = entries(
        chosen, cuts, model, tokens, manifest=manifest, max_duration_seconds=max_duration_seconds
    )
    unit = "character" if isinstance(tokens, CharTokens) else "word"
    errors = score(in_units(utterance.result(tokens), tokens) for utterance in decoded)
    summary = (
        f"{len(chosen)} of {len(decoded)} utterances: those with the most errors. "
        f"In all of them, {errors.percent:.2f} % of {errors.reference} {unit}s."
    )
    return write_report(folder, shown, title=title, summary=summary, unit=unit)
