"""The training loop, from top to bottom.

A recipe that is special replaces a part that it passes to `train` (encoder, predictor, optimizer);
it does not copy this file.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lhotse import CutSet
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from icefall_sampled.config import Config, check
from icefall_sampled.data import Batch, Rejects, read_cuts, usable_cuts
from icefall_sampled.data.augment import SpecAugment
from icefall_sampled.data.loading import epoch_batches
from icefall_sampled.errors import UserError
from icefall_sampled.files import replacing
from icefall_sampled.losses import lattice
from icefall_sampled.modeling import Factories
from icefall_sampled.modeling.encoder import check_output, frame_counter
from icefall_sampled.modeling.pruned import warmth
from icefall_sampled.optimizer import set_learning_rate
from icefall_sampled.parallel import World, world
from icefall_sampled.tokens import OWN_TABLE, load_tokens, token_file
from icefall_sampled.training.init import start_from, write_report
from icefall_sampled.training.metrics import Board, Meter, peak_memory_mib, sampled_mass
from icefall_sampled.training.objective import Losses, Objective
from icefall_sampled.training.run import Run
from icefall_sampled.training.stop import StopSignal
from icefall_sampled.training.validation import validate

logger = logging.getLogger(__name__)

MAX_BAD_STEPS = 20  # steps in a row without a finite gradient before the run is given up


class TrainingDiverged(UserError):
    """Gradients were not finite for too many steps in a row."""


def train(
    config: Config,
    *,
    factories: Factories | None = None,
) -> None:
    """Train until `training.max_steps`, or until interrupted; called again, go on from there.

    Args:
        config: everything that decides what is computed.
        factories: what makes encoder, predictor and optimizer; by default ours.

    Raises:
        ValueError: for a config, data or checkpoint that cannot be used (before any training).
        ImportError: for the pruned loss without k2 and fast_rnnt (likewise).
        TooManyRejects: where too much of the corpus cannot be used.
        TrainingDiverged: where gradients stay infinite.
        KeyboardInterrupt: after a checkpoint was written, where a signal asked to stop.
    """
    check(config)
    config = config.absolute()
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    torch.set_flush_denormal(True)  # posteriors of bad alignments slow a CPU down tenfold
    with world() as here:
        _check_precision(config, here.device)
        if config.loss.kind == "pruned":
            lattice.package_for(here.device)
        tokens = load_tokens(config.data.lang_dir)
        seed_everything(config.training.seed)
        factories = factories or Factories()
        model = factories.model(config, tokens.vocab_size)
        objective = Objective(model, config).to(here.device).train()
        check_output(model.encoder, here.device)
        frames = frame_counter(model.encoder)
        cuts, rejects = usable_cuts(
            read_cuts(config.data.train_cuts, argument="data.train_cuts"), tokens, config.data,
            output_frames=frames, quiet=not here.is_main,
        )  # fmt: skip
        dev_cuts, dev_rejects = usable_cuts(
            read_cuts(config.data.dev_cuts, argument="data.dev_cuts"), tokens, config.data,
            output_frames=frames, allow_unknown=True, quiet=not here.is_main,
        )  # fmt: skip
        seed_everything(config.training.seed + here.rank)
        optimizer = factories.optimizer(objective, config.optimizer)
        run = Run(config, objective, optimizer, tokens, here)
        if not run.resume():
            _begin(run)
        board = Board(config.exp_dir, enabled=here.is_main, step=run.step)
        try:
            _loop(run, cuts, rejects, board, lambda: validate(run, dev_cuts, dev_rejects))
        finally:
            board.close()


def _begin(run: Run) -> None:
    """Start a run: from a trained model where the config names one; keep its token table."""
    training, exp_dir = run.config.training, run.config.exp_dir
    if training.init_from is not None:
        started = start_from(
            training.init_from, run.objective, run.tokens, lang_dir=training.init_lang_dir
        )
        if run.world.is_main:
            write_report(exp_dir, started, training.init_from)
    if run.world.is_main:
        table = token_file(run.config.data.lang_dir)
        with replacing(exp_dir / OWN_TABLE / table.name) as temporary:
            shutil.copyfile(table, temporary)


def _loop(
    run: Run, cuts: CutSet, rejects: Rejects, board: Board, on_dev: Callable[[], dict[str, float]]
) -> None:
    """Steps, with a line of TensorBoard, a validation and a checkpoint every so often."""
    training = run.config.training
    model = wrapped(run.objective, run.world)
    meter = Meter()
    bar = tqdm(total=training.max_steps, initial=run.step, unit="step", desc="training",
               disable=not run.world.is_main, mininterval=1.0)  # fmt: skip
    batches = _batches(run, cuts, rejects)
    with StopSignal(run.world) as stop, bar:
        while run.step < training.max_steps:
            probe, losses, norm = _step(run, model, batches, meter)
            bar.update()
            if run.step % training.log_every_steps == 0:
                _log(run, meter, board, bar, probe, losses, norm, rejects)
                meter = Meter()
            due = run.step % training.checkpoint_every_steps == 0
            if due or run.step == training.max_steps:
                result = {**on_dev(), "processor_seconds": run.count_seconds()}
                board.write("dev", result, run.step)
                if run.world.is_main:
                    bar.write(f"step {run.step}: dev " + _words(result))
                run.save(result["loss"])
            if stop.requested():
                if not due:
                    run.save(None)
                raise KeyboardInterrupt


def _step(
    run: Run, model: nn.Module, batches: Iterator[Batch], meter: Meter
) -> tuple[Batch, Losses, float]:
    """One optimizer step over `optimizer.accumulate` batches."""
    optimizer = run.config.optimizer
    with_transducer = run.step >= run.config.loss.ctc_only_steps
    set_learning_rate(run.optimizer, optimizer, run.step + 1, run.config.training.max_steps)
    run.optimizer.zero_grad(set_to_none=True)
    for micro in range(optimizer.accumulate):
        batch = next(batches)
        last = micro == optimizer.accumulate - 1
        sync = nullcontext() if last or run.world.size == 1 else model.no_sync()  # type: ignore[operator]
        with sync:
            losses = forward(model, batch, run, with_transducer=with_transducer)
            # A batch of which nothing could be read still takes part, with weight zero: the
            # other processes wait for its gradients.
            weight = 1.0 / optimizer.accumulate if batch.ids else 0.0
            run.scaler.scale(losses.total * weight).backward()
        if batch.ids:
            meter.add(batch, losses)
            run.widened += int(losses.widened)
    run.scaler.unscale_(run.optimizer)
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), optimizer.clip_norm))
    run.finish_step(norm)
    if run.bad_steps >= MAX_BAD_STEPS:
        raise TrainingDiverged(
            f"the gradient was not finite in {MAX_BAD_STEPS} steps in a row (step {run.step}): "
            "a lower optimizer.learning_rate or a longer optimizer.warmup_steps may help; "
            f"the last checkpoint in {run.config.exp_dir} is from before"
        )
    return batch, losses, norm


def forward(model: nn.Module, batch: Batch, run: Run, *, with_transducer: bool) -> Losses:
    """The model's losses on a batch, in the precision that the config asks for."""
    precision = run.config.training.precision
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    source = batch if batch.ids else placeholder(batch, run.world.device)
    run.model.feature_norm.frozen = not batch.ids
    with torch.autocast(run.world.device.type, dtype=dtype, enabled=precision != "float32"):
        losses: Losses = model(
            source.features, source.lengths, source.targets, source.target_lengths,
            with_transducer=with_transducer, warmth=warmth(run.config.loss, run.step),
        )  # fmt: skip
    return losses


def _batches(run: Run, cuts: CutSet, rejects: Rejects) -> Iterator[Batch]:
    """Batches without end, from where the run stands; what cannot be read is reported here."""
    config, here = run.config, run.world
    augment = SpecAugment(config.spec_augment)
    while True:
        loader = epoch_batches(
            cuts, run.tokens, config.data, seed=config.training.seed, epoch=run.epoch,
            skip=run.batches, rank=here.rank, world_size=here.size,
        )  # fmt: skip
        for batch in loader:
            run.batches += 1
            for utterance_id, reason in batch.rejected:
                rejects.add(utterance_id, reason)
            rejects.check()
            augmented = augment(batch.features, batch.lengths)
            yield replace(batch, features=augmented).to(here.device)
        if run.batches == 0:
            raise UserError("data: the sampler gave no batch, there must be at least one")
        run.epoch, run.batches = run.epoch + 1, 0


def placeholder(batch: Batch, device: torch.device) -> Batch:
    """One second of nothing, to stand for a batch of which no utterance could be read."""
    return replace(
        batch,
        features=torch.zeros(1, 100, batch.features.shape[-1], device=device),
        lengths=torch.tensor([100], device=device),
        targets=torch.ones(1, 1, dtype=torch.int64, device=device),
        target_lengths=torch.tensor([1], device=device),
    )


def _log(
    run: Run, meter: Meter, board: Board, bar: Any, probe: Batch, losses: Losses,
    norm: float, rejects: Rejects,
) -> None:  # fmt: skip
    """One point in every training curve."""
    values = meter.means()
    values["learning_rate"] = run.optimizer.param_groups[0]["lr"]
    values["gradient_norm"] = norm
    values["peak_memory_mib"] = peak_memory_mib(run.world.device)
    run.world.share(rejects)
    values["rejected_utterances"] = rejects.count
    values["epoch"] = run.epoch
    if losses.vocabulary is not None and probe.ids:
        values["num_sampled"] = losses.vocabulary.ids.shape[1]
        values["widened_batches"] = run.widened
        values["sampled_mass"] = sampled_mass(run.model, probe, losses)
    board.write("train", values, run.step)
    shown = {k: v for k, v in values.items() if k in ("total", "transducer", "ctc")}
    bar.set_postfix_str(_words(shown))


def _words(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def wrapped(model: nn.Module, here: World) -> nn.Module:
    """The model under DDP where there is more than one process."""
    if here.size == 1:
        return model
    if here.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return DistributedDataParallel(model, device_ids=[here.device.index])
    return DistributedDataParallel(model)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _check_precision(config: Config, device: torch.device) -> None:
    precision = config.training.precision
    if precision != "float32" and device.type != "cuda":
        raise UserError(f"training.precision is {precision}, without a GPU it must be float32")
