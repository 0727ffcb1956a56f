"""The lines of docs/icefall.md, run on stand-ins with the interface of icefall's model.

icefall's joiner is `output_linear(tanh(encoder_proj(e) + decoder_proj(d)))`; its decoder takes
(N, U + 1) labels after a blank. With ICEFALL=<a checkout of icefall> in the environment, its own
model runs with these lines too.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from icefall_sampled.sampling import SampledVocabulary
from tests.losses.reference import minus_log_sum_of_paths
from tests.support.recipes import run

DOC = Path(__file__).parents[2] / "docs" / "icefall.md"
FRAMES, LABELS = torch.tensor([4, 3, 1], dtype=torch.int32), torch.tensor([2, 0, 3])
TARGETS = torch.tensor([[3, 5, 0], [0, 0, 0], [5, 5, 1]])
V = 9


class Joiner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder_proj, self.decoder_proj = nn.Linear(6, 5), nn.Linear(4, 5)
        self.output_linear = nn.Linear(5, V)

    def forward(
        self, encoder_out: Tensor, decoder_out: Tensor, project_input: bool = True
    ) -> Tensor:
        if project_input:
            encoder_out, decoder_out = (
                self.encoder_proj(encoder_out),
                self.decoder_proj(decoder_out),
            )
        return self.output_linear(torch.tanh(encoder_out + decoder_out))


class Decoder(nn.Module):
    blank_id, context_size, vocab_size = 0, 2, V

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, 4)
        self.conv = nn.Conv1d(4, 4, self.context_size, groups=2, bias=False)

    def forward(self, y: Tensor, need_pad: bool = True) -> Tensor:
        embedded = self.embedding(y).transpose(1, 2)
        if need_pad:
            embedded = nn.functional.pad(embedded, (self.context_size - 1, 0))
        return self.conv(embedded).relu().transpose(1, 2)


class Model(nn.Module):
    """What `AsrModel.forward_transducer` uses of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder, self.joiner = Decoder(), Joiner()
        self.ctc_output = nn.Sequential(nn.Dropout(0.1), nn.Linear(6, V), nn.LogSoftmax(-1))

    def predicted(self) -> Tensor:
        return self.decoder(nn.functional.pad(TARGETS, (1, 0)))

    def logits(self, encoder_out: Tensor) -> Tensor:
        """(N, T, U + 1, V), by the joiner itself."""
        return self.joiner(encoder_out[:, :, None], self.predicted()[:, None])


def blocks() -> list[str]:
    """The Python of the document: the imports, the lines, and those for a blank that is last."""
    return re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def lines_of_the_document(model: Model, encoder_out: Tensor, **changed: str) -> dict[str, Any]:
    """What the lines leave behind: `result` is what they return."""
    imports, lines, *_ = blocks()
    for name, value in changed.items():
        lines, count = re.subn(rf"{name}=[^,]+,", f"{name}={value},", lines)
        assert count == 1, name
    lines = lines.replace("300", "6").replace("return", "result =")
    found: dict[str, Any] = {
        "self": model, "encoder_out": encoder_out, "encoder_out_lens": FRAMES,
        "decoder_out": model.predicted(), "y_padded": TARGETS, "y_lens": LABELS,
    }  # fmt: skip
    exec(imports + lines, found)
    return found


def by_enumeration(logits: Tensor, vocabulary: SampledVocabulary | None, blank: int = 0) -> Tensor:
    """The sum of the losses over all alignments, of the logits of all classes or of some."""
    losses = []
    for n, (frames, labels) in enumerate(zip(FRAMES, LABELS, strict=True)):
        ids = list(range(V)) if vocabulary is None else vocabulary.ids[n].tolist()
        log_probs = logits[n, :frames, : labels + 1][..., ids].log_softmax(2)
        targets = [ids.index(label) for label in TARGETS[n, :labels].tolist()]
        losses.append(minus_log_sum_of_paths(log_probs, targets, blank=ids.index(blank)))
    return torch.stack(losses).sum()


def gradients(loss: Tensor, model: nn.Module, encoder_out: Tensor) -> list[Tensor]:
    inputs = [encoder_out, *(p for n, p in model.named_parameters() if "ctc" not in n)]
    return list(torch.autograd.grad(loss, inputs))


@pytest.fixture
def model() -> Model:
    return Model().double()


@pytest.fixture
def encoder_out() -> Tensor:
    return torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)


def test_without_classes_it_is_the_loss_of_the_joiner(model: Model, encoder_out: Tensor) -> None:
    found = lines_of_the_document(
        model, encoder_out, vocabulary="None", draft="None", min_occupancy="0.0"
    )
    simple, loss = found["result"]
    assert not simple.requires_grad and simple == 0
    expected = by_enumeration(model.logits(encoder_out), None)
    torch.testing.assert_close(loss, expected)
    for a, b in zip(
        gradients(loss, model, encoder_out), gradients(expected, model, encoder_out), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_with_classes_it_is_the_loss_over_them(model: Model, encoder_out: Tensor) -> None:
    found = lines_of_the_document(model, encoder_out, min_occupancy="0.0")
    vocabulary = found["vocabulary"]
    assert vocabulary.ids.shape == (3, 6) and vocabulary.num_positive.tolist() == [3, 1, 3]
    loss, expected = found["result"][1], by_enumeration(model.logits(encoder_out), vocabulary)
    torch.testing.assert_close(loss, expected)
    for a, b in zip(
        gradients(loss, model, encoder_out), gradients(expected, model, encoder_out), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_the_draft_loses_little(model: Model, encoder_out: Tensor) -> None:
    found = lines_of_the_document(model, encoder_out)
    expected = by_enumeration(model.logits(encoder_out), found["vocabulary"])
    assert 0 <= found["result"][1] / expected - 1 < 1e-3
    assert "draft" in found and found["draft"].ids.shape[0] == 3


def test_a_blank_that_is_the_last_class_is_rolled_to_the_front(
    model: Model, encoder_out: Tensor
) -> None:
    ctc_log_probs, output = model.ctc_output(encoder_out), model.joiner.output_linear
    found: dict[str, Any] = {
        "ctc_log_probs": ctc_log_probs, "weight": output.weight, "bias": output.bias,
        "targets": TARGETS,
    }  # fmt: skip
    imports, _, last = blocks()
    exec(imports + last, found)
    torch.testing.assert_close(found["ctc_log_probs"][..., 0], ctc_log_probs[..., V - 1])
    loss = found["transducer_loss"](
        model.joiner.encoder_proj(encoder_out), model.joiner.decoder_proj(model.predicted()),
        found["weight"], found["bias"], found["targets"], FRAMES, LABELS, reduction="sum",
    )  # fmt: skip
    expected = by_enumeration(model.logits(encoder_out), None, blank=V - 1)
    torch.testing.assert_close(loss, expected)
    for a, b in zip(
        gradients(loss, model, encoder_out), gradients(expected, model, encoder_out), strict=True
    ):
        torch.testing.assert_close(a, b)


IN_ICEFALL = """
import argparse

import k2
import model  # icefall's, with our lines
import torch
import train  # icefall's

from icefall_sampled.losses.lattice import log_likelihood

loss, seen = model.transducer_loss, {}

def watched(*tensors, **options):
    seen.update(tensors=tensors, **options)
    return loss(*tensors, **options)

model.transducer_loss = watched
parser = argparse.ArgumentParser()
train.add_model_arguments(parser)
sizes = "num-encoder-layers 1,1 downsampling-factor 1,2 feedforward-dim 24,24 num-heads 4,4 "
sizes += "encoder-dim 16,24 encoder-unmasked-dim 16,16 cnn-module-kernel 7,7 use-ctc 1"
words = sizes.split()
flags = [x for pair in zip(["--" + w for w in words[::2]], words[1::2]) for x in pair]
params = train.get_params()
params.update(vars(parser.parse_args(flags)), vocab_size=500, blank_id=0, context_size=2)
asr = train.get_model(params).eval()  # its Balancers change gradients at random
y = k2.RaggedTensor([[3, 7, 7, 400], [], [499]])
batch = torch.randn(3, 120, 80), torch.tensor([120, 60, 90], dtype=torch.int32), y
simple, pruned, *_ = asr(*batch)
assert simple == 0

encoder, decoder, _, _, targets, *lengths = seen["tensors"]
ids, columns = seen["vocabulary"].ids, seen["vocabulary"].targets
assert ids.shape == (3, 300)
logits = asr.joiner(encoder[:, :, None], decoder[:, None], project_input=False)
log_probs = logits.gather(3, ids[:, None, None].expand(*logits.shape[:3], -1)).log_softmax(3)
columns = columns[:, None, :, None].expand(-1, logits.shape[1], -1, -1)
labels = log_probs[:, :, :-1].gather(3, columns)
expected = -log_likelihood(log_probs[..., 0], labels[..., 0], *lengths).sum()
torch.testing.assert_close(pruned, expected, rtol=1e-5, atol=0)
trained = [p for name, p in asr.named_parameters() if name.startswith(("joiner", "decoder"))]
trained += [p for name, p in asr.encoder_embed.named_parameters()]
assert all(x.isfinite().all() for x in asr(*batch, use_cr_ctc=True))
for a, b in zip(*(torch.autograd.grad(x, trained, retain_graph=True) for x in (pruned, expected))):
    assert (a - b).norm() <= 1e-4 * b.norm()
"""


def test_inside_icefalls_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "ICEFALL" not in os.environ:
        pytest.skip("ICEFALL names no checkout of icefall")
    pytest.importorskip("k2")
    recipe = Path(os.environ["ICEFALL"], "egs/librispeech/ASR/zipformer")
    source, (imports, lines, *_) = (recipe / "model.py").read_text(encoding="utf-8"), blocks()
    head, _, rest = source.partition("        y_padded = y_padded.to(torch.int64)\n")
    _, last, tail = rest.partition("        return simple_loss, pruned_loss\n")
    assert last
    kept = "        y_padded = y_padded.to(torch.int64)\n"
    (tmp_path / "model.py").write_text(
        imports + head + kept + textwrap.indent(lines, " " * 8) + tail
    )
    folders = [tmp_path, recipe, os.environ["ICEFALL"]]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
    done = run("-c", IN_ICEFALL)
    assert done.returncode == 0, done.stderr
