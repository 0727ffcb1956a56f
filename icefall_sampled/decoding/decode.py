"""The decoding program that recipes call: average, decode test sets, score, write files.

Under torchrun, each rank decodes its share of every set. Rank 0 gathers the results and writes the
same files as a single process.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn, cast

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_sampled import checkpoint
from icefall_sampled.config import DecodeConfig, results_folder, settings_of
from icefall_sampled.data import Batch, input_frames, read_cuts
from icefall_sampled.data.loading import ordered_batches
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.data.shar import keep
from icefall_sampled.decoding import scoring
from icefall_sampled.decoding.jsonl import Decoded, Place, place_of, write_jsonl
from icefall_sampled.decoding.report import report_worst
from icefall_sampled.decoding.scoring import ErrorCounts
from icefall_sampled.decoding.search import search
from icefall_sampled.decoding.searches.fast_beam import check_fast_beam
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.errors import UserError
from icefall_sampled.files import read_json, write_text
from icefall_sampled.model_files import load_averaged
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.encoder import set_context
from icefall_sampled.modeling.factories import MadeBy
from icefall_sampled.parallel import World, world
from icefall_sampled.provenance import machine
from icefall_sampled.tokens import TokenTable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SetScore:
    """How well, and how fast, one test set was decoded."""

    words: ErrorCounts
    characters: ErrorCounts
    utterances: ErrorCounts
    """Utterances with at least one error."""
    real_time_factor: float
    """Seconds of computing (encoder and search) per second of speech."""


def decode(
    config: DecodeConfig,
    sets: dict[str, Path],
    *,
    made_by: MadeBy | None = None,
) -> dict[str, SetScore]:
    """Decode test sets and write recogs-, errs- and wer-summary files for words and characters.

    hyps-*.jsonl holds n-best lists, times and confidence (see `decoding.jsonl`), and scores-*.json
    the scores, from which tables of results are written; scores of sets decoded earlier stay in
    the file. With `report`, report-*/index.html shows the utterances with the most errors.

    Args:
        config: how to decode.
        sets: manifest, or folder of Shar, of each test set that the recipe has.
        made_by: the factories of a model with parts of its own (see `load_averaged`).

    Returns:
        The scores on rank 0, an empty dict on the other ranks.

    Raises:
        MissingPackage: where the method needs k2, which cannot be imported.
        UserError: for a set, checkpoint, vocabulary or predictor that does not fit, before any
            decoding.
    """
    config.validate()
    unknown = sorted(set(config.sets) - set(sets))
    if unknown:
        raise UserError(f"sets: there is no {unknown[0]!r}, it must be among {', '.join(sets)}")
    chosen = {
        name: read_cuts(path, argument=f"set {name}")
        for name, path in sets.items()
        if not config.sets or name in config.sets
    }
    config = replace(config, avg=checkpoint.available(config.exp_dir, config.avg))
    with world() as here:
        model, tokens = load_model(config, made_by=made_by)
        if config.method == "fast_beam":
            check_fast_beam(model)
        scores = {}
        for name, cuts in chosen.items():
            score = _decode_set(config, name, cuts, model, tokens, here, manifest=sets[name])
            if score is not None:
                scores[name] = score
    if here.is_main:
        _add_scores(results_folder(config) / f"scores-{settings_of(config)}.json", scores)
    return scores


def _add_scores(path: Path, scores: dict[str, SetScore]) -> None:
    """Write the scores of some sets into the file, replacing older ones of the same sets.

    Each score is stored with the machine on which it was measured.
    """
    rows = read_json(path) if path.exists() else {}
    rows |= {name: {**asdict(score), "machine": machine()} for name, score in scores.items()}
    write_text(path, json.dumps(rows, indent=2))


def load_model(
    config: DecodeConfig, *, made_by: MadeBy | None = None
) -> tuple[Transducer, TokenTable]:
    """`model_files.load_averaged`, with the attention context of the config."""
    model, tokens = load_averaged(
        config.exp_dir, avg=config.avg, lang_dir=config.lang_dir, made_by=made_by,
        code=config.model_code, running_mean=config.use_averaged_model,
    )  # fmt: skip
    if config.chunk_frames is not None or config.left_context_frames is not None:
        set_context(model.encoder, config.chunk_frames, config.left_context_frames)
    return model, tokens


def _decode_set(
    config: DecodeConfig,
    name: str,
    cuts: CutSet,
    model: Transducer,
    tokens: TokenTable,
    here: World,
    *,
    manifest: Path,
) -> SetScore | None:
    """Decode this rank's share; rank 0 scores all shares and writes the files."""
    rejects = Rejects(len(cuts), limit_percent=config.max_rejected_percent)
    needed = model.encoder.min_input_frames
    usable, places = _long_enough(cuts, rejects, needed, quiet=not here.is_main)
    batches = ordered_batches(
        usable,
        tokens,
        max_duration_seconds=config.max_duration_seconds,
        num_workers=config.num_workers,
        rank=here.rank,
        world_size=here.size,
    )
    with tqdm(
        total=-(-len(usable) // here.size),
        desc=f"decoding {name}",
        unit="utt",
        disable=not here.is_main,
    ) as bar:
        decoded, busy, speech = _decode_share(config, _read(batches, rejects), model, bar)
    here.share(rejects)
    busy, speech = here.sum(busy, speech)
    shares = cast(list[list[Decoded]], here.gather(decoded))
    if not here.is_main:
        return None
    decoded = [utterance for share in shares for utterance in share]
    words, characters, utterances = _write(
        config, name, decoded, places, tokens, frame_seconds=model.frame_seconds
    )
    if config.report:
        _report(config, name, decoded, usable, model, tokens, manifest)
    return SetScore(
        words=words,
        characters=characters,
        utterances=utterances,
        real_time_factor=busy / max(speech, 1e-9),
    )


def _decode_share(
    config: DecodeConfig, batches: Iterable[Batch], model: Transducer, bar: tqdm[NoReturn]
) -> tuple[list[Decoded], float, float]:
    """Decode batches; also returns the seconds of computing, without loading, and of speech."""
    decoded, busy, speech = list[Decoded](), 0.0, 0.0
    for batch in batches:
        bar.update(len(batch.ids) + len(batch.rejected))
        if not batch.ids:
            continue
        started = time.perf_counter()
        found = decode_batch(config, model, batch)
        busy += time.perf_counter() - started
        speech += batch.duration_seconds
        rows = zip(batch.ids, batch.texts, found, strict=True)
        decoded += [Decoded(id=name, text=text, nbest=nbest) for name, text, nbest in rows]
    return decoded, busy, speech


def _read(batches: Iterable[Batch], rejects: Rejects) -> Iterator[Batch]:
    """The batches; utterances that could not be read are rejected."""
    for batch in batches:
        for utterance_id, reason in batch.rejected:
            rejects.add(utterance_id, reason)
        rejects.check()
        yield batch


def _long_enough(
    cuts: CutSet, rejects: Rejects, needed: int, *, quiet: bool
) -> tuple[CutSet, dict[str, Place]]:
    """The cuts with at least one encoder frame, and where their audio is; rejects the others."""
    places: dict[str, Place] = {}

    def wanted(cut: Cut) -> bool:
        frames = input_frames(cut)
        places[cut.id] = place_of(cut)
        if frames < needed:
            rejects.add(cut.id, f"{frames} frames, at least {needed} are needed", quiet=quiet)
        return frames >= needed

    usable = keep(cuts, wanted)
    rejects.check()
    return usable, places


@torch.no_grad()
def decode_batch(config: DecodeConfig, model: Transducer, batch: Batch) -> list[list[Hypothesis]]:
    """N-best lists of a batch, with the search and the constraint that the config names."""
    on_device = batch.to(next(model.parameters()).device)
    encoded = model.encode(on_device.features, on_device.lengths)
    return search(model, encoded, config)


def _write(
    config: DecodeConfig,
    name: str,
    decoded: list[Decoded],
    places: dict[str, Place],
    tokens: TokenTable,
    *,
    frame_seconds: float,
) -> tuple[ErrorCounts, ErrorCounts, ErrorCounts]:
    """Write the files of one set; returns the errors in words, characters and utterances."""
    settings, folder = settings_of(config), results_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(
        folder / f"hyps-{name}-{settings}.jsonl",
        decoded,
        places,
        tokens,
        frame_seconds=frame_seconds,
    )
    results = [utterance.result(tokens) for utterance in decoded]
    scoring.write_recogs(folder / f"recogs-{name}-{settings}.txt", results)
    words = scoring.write_errs(folder / f"errs-{name}-{settings}.txt", results, name=name)
    characters = scoring.write_errs(
        folder / f"errs-char-{name}-{settings}.txt",
        [r.in_characters() for r in results],
        name=name,
    )
    scoring.write_summary(
        folder / f"wer-summary-{name}-{settings}.txt", {settings: words}, unit="WER"
    )
    scoring.write_summary(
        folder / f"cer-summary-{name}-{settings}.txt", {settings: characters}, unit="CER"
    )
    logger.info(
        "%s %s: WER %.2f %% of %d words, CER %.2f %%",
        name, settings, words.percent, words.reference, characters.percent,
    )  # fmt: skip
    return words, characters, scoring.score_whole(results)


def _report(
    config: DecodeConfig,
    name: str,
    decoded: list[Decoded],
    cuts: CutSet,
    model: Transducer,
    tokens: TokenTable,
    manifest: Path,
) -> None:
    """Show the worst utterances of one set on a page."""
    settings = settings_of(config)
    report_worst(
        results_folder(config) / f"report-{name}-{settings}",
        config.report,
        decoded,
        cuts,
        model,
        tokens,
        title=f"{name}, {settings}",
        manifest=manifest,
        max_duration_seconds=config.max_duration_seconds,
    )
