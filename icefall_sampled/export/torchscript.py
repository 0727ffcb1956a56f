"""One TorchScript file: the model without this package, and without Python.

    model = torch.jit.load("model.ts")
    frames, lengths, hidden = model.encode(features, feature_lengths)
    predicted, state = model.predict(labels, model.initial_state(len(labels)))
    log_probs = model.join(frames[:, t], predicted)
    ctc = model.ctc_log_probs(hidden)

The results are bit-identical to those of the model itself, for every batch and every length.
"""

# No `from __future__ import annotations`: TorchScript reads the annotations of a class.
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from icefall_sampled.export.networks import Acoustics
from icefall_sampled.files import replacing
from icefall_sampled.losses import chunks
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.joiner import Joiner
from icefall_sampled.modeling.predictor import Predictor

TORCHSCRIPT = "model.ts"


class _Unfused(TorchFunctionMode):
    """Modules traced inside run operation by operation, without fusion, on every machine.

    TorchScript's compiler fuses neighbouring operations, and exp and tanh round differently in a
    fused kernel. A `detach` after each operation costs nothing and prevents the fusion.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        return out.detach() if isinstance(out, Tensor) and out.is_floating_point() else out


class Conditioned(nn.Module):
    """`CtcHead.condition` in TorchScript: the steps of `losses.posterior_product`, in its order.

    `_Unfused` explains why every result is detached.
    """

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        assert model.ctc is not None
        assert model.ctc.feedback is not None
        self.output, self.feedback = model.ctc.output, model.ctc.feedback
        vocab_size, width = self.output.weight.shape
        self.columns = chunks.MAX_COLUMNS
        self.rows = chunks.chunk_rows(
            torch.float32, columns=min(vocab_size, self.columns), width=width
        )

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, D), (N,) -> (N, T, D)."""
        flat = hidden.flatten(0, 1)
        back = torch.zeros_like(flat)
        valid = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
        for rows in valid.view(-1).nonzero()[:, 0].split(self.rows):
            back[rows] = self._product(flat[rows])
        return hidden + back.view(hidden.shape) + self.feedback.bias

    def _product(self, rows: Tensor) -> Tensor:
        """(R, D) -> (R, D): the posterior of the rows, projected back to their width."""
        weight, bias, matrix = self.output.weight, self.output.bias, self.feedback.weight.t()
        peak = torch.full([rows.shape[0]], -float("inf"), dtype=rows.dtype, device=rows.device)
        total, product = torch.zeros_like(peak), torch.zeros_like(rows)
        for start in range(0, weight.shape[0], self.columns):
            end = start + self.columns
            logits = torch.addmm(bias[start:end], rows, weight[start:end].t())
            new_peak = torch.maximum(peak, logits.amax(1)).detach()
            shrink = (peak - new_peak).detach().exp().detach()
            weights = (logits - new_peak[:, None]).detach().exp().detach()
            total = (total * shrink).detach() + weights.sum(1)
            product = (product * shrink[:, None]).detach() + weights @ matrix[start:end]
            peak = new_peak
        return product.detach() / total.detach()[:, None]


class _Predict(nn.Module):
    """One step of the predictor, projected to the joiner's width."""

    def __init__(self, predictor: Predictor, projection: nn.Module) -> None:
        super().__init__()
        self.predictor, self.projection = predictor, projection

    def forward(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        out, state = self.predictor.step(labels, state)
        return self.projection(out), state


class _Join(nn.Module):
    """Log-probabilities of all classes from two projections."""

    def __init__(self, joiner: Joiner) -> None:
        super().__init__()
        self.joiner = joiner

    def forward(self, frames: Tensor, predicted: Tensor) -> Tensor:
        return torch.log_softmax(self.joiner.output(self.joiner.hidden(frames, predicted)), dim=-1)


class _Ctc(nn.Module):
    """Log-probabilities of the CTC head."""

    def __init__(self, model: Transducer) -> None:
        super().__init__()
        assert model.ctc is not None
        self.head = model.ctc

    def forward(self, hidden: Tensor) -> Tensor:
        return self.head.log_probs(hidden)


class _NoCtc(nn.Module):
    """Takes the place of the CTC head in a model without one."""

    def forward(self, hidden: Tensor) -> Tensor:
        raise ValueError("this model was trained without CTC")


class Exported(nn.Module):
    """The module in the file; every method is exported, and lengths and batch sizes may vary."""

    vocab_size: int
    frame_seconds: float
    first_state: Tensor

    def __init__(self, parts: dict[str, Any], model: Transducer) -> None:
        super().__init__()
        self.acoustics, self.ctc = parts["acoustics"], parts["ctc"]
        self.predictor, self.joiner = parts["predictor"], parts["joiner"]
        self.projection = model.joiner.encoder_projection
        self.vocab_size = model.vocab_size
        self.frame_seconds = model.frame_seconds
        self.register_buffer("first_state", model.predictor.initial_state(1, torch.device("cpu")))

    @torch.jit.export
    def encode(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, frames, 80), (N,) -> (N, T, J) for `join`, (N,), (N, T, D) for `ctc_log_probs`."""
        out, lengths, hidden = self.acoustics(features, lengths)
        return self.projection(out), lengths, hidden

    @torch.jit.export
    def initial_state(self, num: int) -> Tensor:
        """The predictor's state before the first label, which is blank."""
        return self.first_state.repeat([num] + [1] * (self.first_state.dim() - 1))

    @torch.jit.export
    def predict(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(N,), state -> (N, J) for `join`, state."""
        predicted, state = self.predictor(labels, state)
        return predicted, state

    @torch.jit.export
    def join(self, frames: Tensor, predicted: Tensor) -> Tensor:
        """(…, J), (…, J) -> (…, V) log-probabilities of the transducer, in nats."""
        return self.joiner(frames, predicted)

    @torch.jit.export
    def ctc_log_probs(self, hidden: Tensor) -> Tensor:
        """(N, T, D) -> (N, T, V) log-probabilities of CTC, in nats."""
        return self.ctc(hidden)


def save_torchscript(path: Path, model: Transducer) -> None:
    """Write the model, which is on the CPU and in eval mode, as one TorchScript file.

    Raises:
        OSError: if the file cannot be written.
    """
    with warnings.catch_warnings(), torch.no_grad():
        # Warnings that tracing and TorchScript have limits; the tests check the results.
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(Exported(_parts(model), model).eval())
        # Torch's C++ must not open the file: on a full disk it aborts the whole process.
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.jit.save(scripted, file)


def _parts(model: Transducer) -> dict[str, Any]:
    """The traced modules; the example inputs decide only the types."""
    width, joint = model.config.encoder.width, model.config.joiner.width
    lengths, labels = torch.tensor([100, 80]), torch.zeros(2, dtype=torch.int64)
    features = torch.zeros(2, 100, model.config.encoder.num_features)
    state = model.predictor.initial_state(2, torch.device("cpu"))
    conditioned = model.config.ctc.self_conditioning
    condition = torch.jit.script(Conditioned(model)) if conditioned else None
    predict = _Predict(model.predictor, model.joiner.predictor_projection)
    examples: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "acoustics": (Acoustics(model, condition=condition), (features, lengths)),
        "predictor": (predict, (labels, state)),
        "joiner": (_Join(model.joiner), (torch.zeros(2, joint), torch.zeros(2, joint))),
    }
    if model.ctc is not None:
        examples["ctc"] = (_Ctc(model), (torch.zeros(2, 4, width),))
    with _Unfused():
        parts: dict[str, Any] = {
            name: torch.jit.trace(module.eval(), example, check_trace=False)
            for name, (module, example) in examples.items()
        }
    return {"ctc": torch.jit.script(_NoCtc()), **parts}
