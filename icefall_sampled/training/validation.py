"""Loss and greedy error rates on dev, during training."""

from __future__ import annotations

import math

import torch
from lhotse import CutSet
from torch import Tensor

from icefall_sampled.data import Batch
from icefall_sampled.data.loading import ordered_batches
from icefall_sampled.data.rejects import Rejects
from icefall_sampled.decoding.scoring import Result, score
from icefall_sampled.decoding.searches.greedy import greedy
from icefall_sampled.training.run import Run

UNITS = ("words", "characters")
_COUNTS = ("utterances", *UNITS, *(f"errors in {unit}" for unit in UNITS), "texts with spaces")


def validate(run: Run, cuts: CutSet, rejects: Rejects) -> dict[str, float]:
    """Mean losses an utterance in nats and, once the transducer is trained, greedy error rates.

    Errors are counted over all utterances: in characters and, where any text has a space, in words.
    Losses are those of the utterances whose tokens are all in the table: training never sees the
    unknown one, whose loss would only tell how sure the model is of that.

    Dev is spread over the processes. The transducer loss is that of the config's softmax, so
    sampled variants are compared with themselves over time, and with others by error rate. Sampling
    here has a random state of its own: training goes on as if nothing had been measured.
    Utterances that cannot be read are added to `rejects`.
    """
    devices = [run.world.device] if run.world.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(run.config.training.seed)
        run.objective.eval()
        sums = _measure(run, cuts, rejects)
        run.objective.train()
    # The same sums in each process, although one without dev utterances has none of them.
    return _means(dict(zip(sums, run.world.sum(*sums.values()), strict=True)), run.objective.names)


def _measure(run: Run, cuts: CutSet, rejects: Rejects) -> dict[str, float]:
    """The sums over this process' share of dev."""
    config, here = run.config, run.world
    with_transducer = run.step > config.loss.ctc_only_steps
    names = ("total", *run.objective.names)
    sums = dict.fromkeys([*_COUNTS, *names, *(f"batches with {name}" for name in names)], 0.0)
    batches = ordered_batches(
        cuts, run.tokens, max_duration_seconds=config.data.max_duration_seconds,
        rank=here.rank, world_size=here.size,
    )  # fmt: skip
    for batch in batches:
        for utterance_id, reason in batch.rejected:
            rejects.add(utterance_id, reason)
        rejects.check()
        if not batch.ids:
            continue
        on_device = batch.to(here.device)
        known = on_device.without_token(run.tokens.unknown_id)
        _add_losses(sums, run, known, with_transducer=with_transducer)
        if with_transducer:
            _add_errors(sums, run, on_device)
    here.share(rejects)
    return sums


def _add_losses(
    sums: dict[str, float], run: Run, tensors: tuple[Tensor, ...], *, with_transducer: bool
) -> None:
    """Count the losses of some utterances in: features, lengths, targets and their lengths."""
    num = len(tensors[0])
    if num == 0:
        return
    losses = run.objective(*tensors, with_transducer=with_transducer)
    sums["utterances"] += num
    for name, value in {"total": losses.total, **losses.parts}.items():
        sums[name] += float(value) * num
        sums[f"batches with {name}"] += 1


def _add_errors(sums: dict[str, float], run: Run, batch: Batch) -> None:
    """Count the errors of greedy search in."""
    encoded = run.model.encode(batch.features, batch.lengths)
    hypotheses = greedy(run.model, encoded.out, encoded.lengths)
    results = [
        Result(id=name, reference=text.split(), hypothesis=run.tokens.decode(found.tokens).split())
        for name, text, found in zip(batch.ids, batch.texts, hypotheses, strict=True)
    ]
    counted = score(results), score(r.in_characters() for r in results)
    for unit, counts in zip(UNITS, counted, strict=True):
        sums[unit] += counts.reference
        sums[f"errors in {unit}"] += counts.total
    sums["texts with spaces"] += sum(len(r.reference) > 1 for r in results)


def _means(sums: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """Means over all processes; "loss" is what the best checkpoint is chosen by."""
    result = {
        name: sums[name] / sums["utterances"]
        for name in ("total", *names)
        if sums[f"batches with {name}"]
    }
    rates = {unit: 100.0 * sums[f"errors in {unit}"] / sums[unit] for unit in UNITS if sums[unit]}
    if "words" in rates and sums["texts with spaces"]:
        result["wer_percent"] = rates["words"]
    if "characters" in rates:
        result["cer_percent"] = rates["characters"]
    result["loss"] = result.get("transducer", math.inf)
    return result
