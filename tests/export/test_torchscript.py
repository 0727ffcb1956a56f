"""The TorchScript file gives the model's own numbers, bit by bit, and needs nothing but torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from icefall_sampled.export.torchscript import TORCHSCRIPT, save_torchscript
from icefall_sampled.modeling import Transducer
from tests.support.tiny import PRUNED, changed, tiny_config, tiny_model

CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "lstm": {},
    "two layers, 6 times fewer frames": {
        "predictor": {"num_layers": 2}, "encoder": {"subsampling": 6},
    },
    "stateless": {"predictor": {"kind": "stateless"}, "joiner": {"activation": "relu"}},
    "self-conditioned": {"ctc": {"intermediate_layers": (1,), "self_conditioning": True}},
    "intermediate CTC alone": {
        "ctc": {"intermediate_layers": (1,), "joint_weight": 0.0},
        "sampling": {"distribution": "interctc"},
    },
    "pruned": PRUNED,
    "by chunks": {
        "encoder": {"causal": True, "chunk_frames": (4, 8), "left_context_frames": 8},
    },
}  # fmt: skip
# None of them is the shape of what was traced: longer, shorter, more, fewer, the shortest of all.
LENGTHS = ([100, 80], [60, 41, 33], [331], [11], [57] * 4, [500, 420])


def model_of(name: str) -> Transducer:
    model = tiny_model(changed(tiny_config(), **CONFIGS[name]), scale=3.0)
    model.encoder.feature_norm.count += 7.0
    model.encoder.feature_norm.squares += 5.0
    return model


def features_of(lengths: list[int], *, padding: float = 0.0) -> Tensor:
    features = torch.randn(len(lengths), max(lengths), 80)
    for row, length in enumerate(lengths):
        features[row, length:] = padding
    return features


def compare(model: Transducer, loaded: Any, features: Tensor, lengths: Tensor) -> None:
    """Encoder, CTC, and some steps of the predictor with the joiner."""
    encoded = model.encode(features, lengths)
    frames, encoder_lengths, hidden = loaded.encode(features, lengths)
    assert torch.equal(frames, model.joiner.encoder_projection(encoded.out))
    assert torch.equal(encoder_lengths, encoded.lengths)
    assert torch.equal(loaded.ctc_log_probs(hidden), model.ctc_log_probs(encoded))
    num = len(features)
    state, other = model.predictor.initial_state(num, features.device), loaded.initial_state(num)
    for t in range(min(3, frames.shape[1])):
        labels = torch.randint(0, model.vocab_size, (num,))
        out, state = model.predictor.step(labels, state)
        projected = model.joiner.predictor_projection(out)
        predicted, other = loaded.predict(labels, other)
        logits = model.joiner.output(model.joiner.hidden(frames[:, t], projected))
        assert torch.equal(state, other)
        assert torch.equal(loaded.join(frames[:, t], predicted), logits.log_softmax(-1))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_is_the_same_in_every_shape(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    save_torchscript(tmp_path / TORCHSCRIPT, model)
    loaded = torch.jit.load(str(tmp_path / TORCHSCRIPT))
    assert (loaded.vocab_size, loaded.frame_seconds) == (12, model.frame_seconds)
    with torch.no_grad():
        for lengths in LENGTHS:
            features = features_of(lengths)
            for _ in range(3):  # TorchScript compiles what it has seen once, and again later
                compare(model, loaded, features, torch.tensor(lengths))


@pytest.mark.parametrize("name", ["lstm", "self-conditioned"])
def test_padding_may_hold_anything(name: str, tmp_path: Path) -> None:
    save_torchscript(tmp_path / TORCHSCRIPT, model_of(name))
    loaded = torch.jit.load(str(tmp_path / TORCHSCRIPT))
    lengths, found = torch.tensor([90, 61]), []
    for padding in (0.0, float("nan")):
        torch.manual_seed(2)
        frames, encoder_lengths, _ = loaded.encode(features_of([90, 61], padding=padding), lengths)
        found.append([frames[n, :length] for n, length in enumerate(encoder_lengths)])
    assert all(map(torch.equal, *found))


def test_a_model_without_ctc_says_so(tmp_path: Path) -> None:
    config = changed(tiny_config(), ctc={"joint_weight": 0.0}, sampling={"distribution": "uniform"})
    save_torchscript(tmp_path / TORCHSCRIPT, tiny_model(config))
    loaded = torch.jit.load(str(tmp_path / TORCHSCRIPT))
    _, _, hidden = loaded.encode(torch.zeros(1, 40, 80), torch.tensor([40]))
    with pytest.raises(Exception, match="trained without CTC"):
        loaded.ctc_log_probs(hidden)


PROGRAM = """
import sys, torch
model = torch.jit.load(sys.argv[1])
frames, lengths, hidden = model.encode(torch.zeros(1, 60, 80), torch.tensor([60]))
state, label, found = model.initial_state(1), torch.zeros(1, dtype=torch.int64), []
predicted, state = model.predict(label, state)
for t in range(int(lengths[0])):
    label = model.join(frames[:, t], predicted).argmax(-1)
    if label.item():
        found.append(label.item())
        predicted, state = model.predict(label, state)
assert not any(name.startswith("icefall_sampled") for name in sys.modules)
print(model.ctc_log_probs(hidden).shape[-1], len(found) <= int(lengths[0]))
"""


def test_it_runs_where_this_package_is_not_imported(tmp_path: Path) -> None:
    save_torchscript(tmp_path / TORCHSCRIPT, model_of("lstm"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / TORCHSCRIPT)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "12 True\n"
