"""Loss and greedy WER on dev, during training."""

from __future__ import annotations

import math

import torch
from lhotse import CutSet

from icefall_sampled.decoding.greedy import greedy
from icefall_sampled.loading import ordered_batches
from icefall_sampled.rejects import Rejects
from icefall_sampled.scoring import count_errors
from icefall_sampled.training.metrics import LOSSES
from icefall_sampled.training.run import Run


def validate(run: Run, cuts: CutSet, rejects: Rejects) -> dict[str, float]:
    """Mean losses an utterance in nats and, once the transducer is trained, greedy WER.

    Dev is spread over the processes. The transducer loss is that of the config's softmax, so
    sampled variants are compared with themselves over time, and with others by WER. Sampling
    here has a random state of its own: training goes on as if nothing had been measured.
    Utterances that cannot be read are added to `rejects`.
    """
    devices = [run.world.device] if run.world.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(run.config.training.seed)
        run.model.eval()
        result = _measure(run, cuts, rejects)
        run.model.train()
    return result


def _measure(run: Run, cuts: CutSet, rejects: Rejects) -> dict[str, float]:
    config, model, here = run.config, run.model, run.world
    with_transducer = run.step > config.loss.ctc_only_steps
    totals: dict[str, float] = {}
    count, errors, words = 0, 0, 0
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
        losses = model(
            on_device.features, on_device.lengths, on_device.targets, on_device.target_lengths,
            with_transducer=with_transducer,
        )  # fmt: skip
        for name in LOSSES:
            value = getattr(losses, name)
            if value is not None:
                totals[name] = totals.get(name, 0.0) + float(value) * len(batch.ids)
        count += len(batch.ids)
        if with_transducer:
            encoded = model.encode(on_device.features, on_device.lengths)
            hypotheses = greedy(model, encoded.out, encoded.lengths)
            for text, hypothesis in zip(batch.texts, hypotheses, strict=True):
                found = count_errors(text.split(), run.tokens.decode(hypothesis.tokens).split())
                errors, words = errors + found.total, words + found.reference
    here.share(rejects)
    return _means(run, totals, count, errors, words)


def _means(
    run: Run, totals: dict[str, float], count: int, errors: int, words: int
) -> dict[str, float]:
    """Means over all processes; "loss" is what the best checkpoint is chosen by."""
    # All of LOSSES, whether there or not: a process without dev utterances has none of them.
    *sums, all_count, all_errors, all_words = run.world.sum(
        *(totals.get(name, 0.0) for name in LOSSES), count, errors, words
    )
    seen = run.world.sum(*(float(name in totals) for name in LOSSES))
    result = {
        name: value / all_count
        for name, value, there in zip(LOSSES, sums, seen, strict=True)
        if there
    }
    if all_words:
        result["wer_percent"] = 100.0 * all_errors / all_words
    result["loss"] = result.get("transducer", math.inf)
    return result
