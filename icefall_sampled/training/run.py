"""The state of a training run: what a checkpoint holds, and how it is put back."""

from __future__ import annotations

import logging
import os
from operator import attrgetter
from typing import Any, cast

import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config, from_json, to_json
from icefall_sampled.modeling import Transducer
from icefall_sampled.parallel import World
from icefall_sampled.running_mean import RunningMean
from icefall_sampled.tokens import OWN_TABLE, TokenTable
from icefall_sampled.training.objective import Objective

logger = logging.getLogger(__name__)

# What must not differ between the command that began a run and the one that continues it.
ARCHITECTURE = (
    "encoder", "ctc", "predictor", "joiner", "loss.kind", "training.freeze", "optimizer.factors",
)  # fmt: skip


class Run:
    """Model, optimizer, and the position in the data."""

    def __init__(
        self,
        config: Config,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        tokens: TokenTable,
        world: World,
    ) -> None:
        self.config, self.objective, self.optimizer = config, objective, optimizer
        self.model: Transducer = objective.model
        self.tokens, self.world = tokens, world
        self.factories: dict[str, str] = self.model.factories.names()
        self.scaler = torch.cuda.amp.GradScaler(enabled=config.training.precision == "float16")
        every = config.training.mean_every_steps
        self.mean = RunningMean(self.model) if every else None
        self.step = 0
        self.epoch = 0
        self.batches = 0  # of this epoch, on this rank, trained on
        self.bad_steps = 0  # in a row, without a finite gradient
        self.widened = 0
        self.best = float("inf")
        self.processor_seconds = 0.0  # of all processes, when it was last counted
        self._counted_from = processor_seconds()

    def finish_step(self, gradient_norm: float) -> None:
        """Update the weights unless the gradient is not finite."""
        finite = gradient_norm < float("inf")  # false for nan too
        if finite or self.scaler.is_enabled():  # the scaler skips such a step by itself
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.bad_steps = 0 if finite else self.bad_steps + 1
        if not finite:
            logger.warning("step %d skipped: the gradient is not finite", self.step + 1)
        self.step += 1
        if self.mean is not None and self.step % self.config.training.mean_every_steps == 0:
            self.mean.add(self.model)

    def save(self, dev_loss: float | None) -> None:
        """Write a checkpoint; `dev_loss` (None: not measured) decides whether it is the best."""
        rng = self.world.gather(checkpoint.rng_state())
        self.count_seconds()
        is_best = dev_loss is not None and dev_loss < self.best
        if is_best:
            self.best = cast(float, dev_loss)
        if not self.world.is_main:
            return
        exp_dir = self.config.exp_dir
        path = checkpoint.path_of(exp_dir, self.step)
        checkpoint.save(path, self._state(rng))
        if is_best:
            checkpoint.copy(path, exp_dir / checkpoint.BEST)
        checkpoint.prune(exp_dir, self.config.training.keep_checkpoints)

    def _state(self, rng: list[object]) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "objective": self.objective.own_state(),
            "factories": self.factories,
            "mean": None if self.mean is None else self.mean.state(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "config": to_json(self.config),
            "vocab_size": self.tokens.vocab_size,
            "tokens": self.tokens.fingerprint,
            "step": self.step,
            "epoch": self.epoch,
            "batches": self.batches,
            "bad_steps": self.bad_steps,
            "widened": self.widened,
            "best": self.best,
            "processor_seconds": self.processor_seconds,
            "rng": rng,
        }

    def count_seconds(self) -> float:
        """Processor time of the run so far, over all processes and pieces."""
        now = processor_seconds()
        self.processor_seconds += self.world.sum(now - self._counted_from)[0]
        self._counted_from = now
        return self.processor_seconds

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """The optimizer's state, but the settings that this command asks for."""
        groups = self.optimizer.param_groups
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        self.optimizer.load_state_dict(state)
        for group, wanted in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(wanted)

    def resume(self) -> bool:
        """Go on from the latest checkpoint in `exp_dir`; return whether there is one.

        Raises:
            CheckpointError: where it is of another model or vocabulary, or damaged.
        """
        found = checkpoint.find(self.config.exp_dir)
        if not found:
            return False
        state = checkpoint.load(found[-1])
        self._check(state, str(found[-1]))
        self.model.load_state_dict(state["model"])
        self.objective.load_own_state(state["objective"])
        self._load_optimizer(state["optimizer"])
        if self.mean is not None and state["mean"] is not None:
            self.mean.load(state["mean"])
        self.scaler.load_state_dict(state["scaler"])
        for name in ("step", "epoch", "batches", "bad_steps", "widened", "best"):
            setattr(self, name, state[name])
        self.processor_seconds = state.get("processor_seconds", 0.0)  # older ones lack it
        if len(state["rng"]) == self.world.size:
            checkpoint.set_rng_state(state["rng"][self.world.rank])
        else:
            logger.warning(
                "%d processes continue what %d began: the data of this epoch starts again",
                self.world.size,
                len(state["rng"]),
            )
            self.batches = 0
        logger.info("continuing from %s at step %d", found[-1], self.step)
        return True

    def _check(self, state: dict[str, Any], name: str) -> None:
        if state["tokens"] != self.tokens.fingerprint:
            raise CheckpointError(
                f"{name} was trained with another vocabulary ({state['vocab_size']} classes) than "
                f"data.lang_dir {self.config.data.lang_dir} ({self.tokens.vocab_size} classes); "
                f"its own is in {self.config.exp_dir / OWN_TABLE}: go on with it as data.lang_dir, "
                "or choose another exp_dir and start from this model (training.init_from)"
            )
        for part, before in state["factories"].items():
            if before != self.factories[part]:
                logger.warning("%s: made by %s, now by %s", part, before, self.factories[part])
        try:
            was = from_json(Config, state["config"], parts=self.model.factories.config_classes())
        except ValueError as error:  # fields of another encoder, for example
            raise CheckpointError(
                f"{name} was trained with other parts: {error}; choose another exp_dir to train "
                "another model"
            ) from error
        for part in ARCHITECTURE:
            before, wanted = attrgetter(part)(was), attrgetter(part)(self.config)
            if before != wanted:
                raise CheckpointError(
                    f"{name} was trained with {part} {before}, this command asks for {wanted}; "
                    "choose another exp_dir to train another model"
                )
        changed = [
            f"{part} {getattr(was, part)} -> {getattr(self.config, part)}"
            for part in ("data", "spec_augment", "sampling", "loss", "optimizer")
            if getattr(was, part) != getattr(self.config, part)
        ]
        if changed:
            logger.warning("the run in %s goes on changed: %s", name, "; ".join(changed))


def processor_seconds() -> float:
    """CPU time of this process so far, and of those of its loading workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
