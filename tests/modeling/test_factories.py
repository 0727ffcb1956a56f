"""Names of factories: how they get into a checkpoint, and whose code is run to find them again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from icefall_sampled.config import Config, OptimizerConfig, PartConfig, PredictorConfig
from icefall_sampled.export import load_folder, open_model, save_folder
from icefall_sampled.modeling import Factories
from icefall_sampled.modeling.conformer import Conformer, make_conformer
from icefall_sampled.modeling.factories import find, name_of
from icefall_sampled.modeling.predictor import Predictor, make_predictor
from tests.support.corpus import write_tokens
from tests.support.tiny import tiny_config, tiny_model

HERE = Path(__file__).resolve()
OURS = {
    "encoder": "icefall_sampled.modeling.conformer:make_conformer",
    "predictor": "icefall_sampled.modeling.predictor:make_predictor",
    "optimizer": "icefall_sampled.optimizer:make_adamw",
}
FILE = """
from pathlib import Path

from icefall_sampled.config import PredictorConfig
from icefall_sampled.modeling.predictor import make_predictor as usual

Path(__file__).with_suffix(".was-run").touch()


def make_mine(config: PredictorConfig, vocab_size: int):
    return usual(config, vocab_size)
"""


def make_other(config: PredictorConfig, vocab_size: int) -> Predictor:
    return make_predictor(config, vocab_size)


def test_names_are_of_packages_or_of_files() -> None:
    assert Factories().names() == OURS
    names = Factories(predictor=make_other).names()
    assert names == OURS | {"predictor": f"{HERE}:make_other"}
    assert name_of(nn.functional.relu) == "torch.nn.functional:relu"
    assert find(OURS) == Factories()


class Holder:
    def make(self, config: PredictorConfig, vocab_size: int) -> Predictor:
        return make_predictor(config, vocab_size)


def nested() -> Any:
    def make(config: PredictorConfig, vocab_size: int) -> Predictor:
        return make_predictor(config, vocab_size)

    return make


@pytest.mark.parametrize(
    "factory",
    [lambda config, size: None, Holder().make, Holder.make, nested(), Conformer,
     partial(make_predictor, vocab_size=3)],
)  # fmt: skip
def test_what_cannot_be_found_again_is_no_factory(factory: Any) -> None:
    with pytest.raises(ValueError, match="it must be a function at the top level of a module"):
        name_of(factory)


@dataclass(frozen=True, kw_only=True)
class OtherConfig(PartConfig):
    path: Path | None = None
    names: tuple[str, ...] = ()
    colours: Any = None


def make_of_other(config: OtherConfig) -> Conformer:
    raise NotImplementedError


def make_of_nothing(config: int) -> Conformer:
    raise NotImplementedError


def test_a_config_of_another_class_is_named() -> None:
    with pytest.raises(ValueError, match="^encoder of the config is a ConformerConfig, it must be "
                       "a OtherConfig: that is what make_encoder takes$"):  # fmt: skip
        Factories(encoder=make_of_other).check(tiny_config())
    with pytest.raises(ValueError, match="^make_of_nothing is no factory of a part: "):
        Factories(encoder=make_of_nothing).check(tiny_config())
    with pytest.raises(ValueError, match=r"^Conformer is no factory .* must be a function"):
        Factories(encoder=Conformer).check(tiny_config())


def test_an_annotation_that_is_imported_for_type_checkers_alone_is_named() -> None:
    scope: dict[str, Any] = {}
    exec("def make(config: 'Elsewhere'): ...", scope)
    with pytest.raises(ValueError, match=r"^the annotations of the factory make .*'Elsewhere'"):
        Factories(encoder=scope["make"]).config_classes()


def test_a_config_must_come_back_from_a_checkpoint() -> None:
    factories = Factories(encoder=make_of_other)
    for fields in ({"path": Path("a")}, {"names": ("a", "b")}, {"colours": 3}):
        factories.check(replace(tiny_config(), encoder=OtherConfig(**fields)))
    for fields in ({"colours": Path("a")}, {"names": ["a"]}, {"colours": torch.float32}):
        with pytest.raises(ValueError, match="^encoder of the config is .* cannot hold it: its "):
            factories.check(replace(tiny_config(), encoder=OtherConfig(**fields)))


@dataclass(frozen=True, kw_only=True)
class RateConfig(PartConfig):
    learning_rate: float = 0.1


def make_by_rate(model: nn.Module, config: RateConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=config.learning_rate)


def test_the_config_of_an_optimizer_has_what_the_trainer_reads() -> None:
    config = replace(tiny_config(), optimizer=RateConfig())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="it must be derived from OptimizerConfig"):
        Factories(optimizer=make_by_rate).check(config)
    Factories().check(replace(config, optimizer=OptimizerConfig()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE, encoding="utf-8")
    return path


def was_run(file: Path) -> bool:
    return file.with_suffix(".was-run").exists()


def test_a_file_is_run_only_if_it_is_named(file: Path) -> None:
    names = OURS | {"predictor": f"{file}:make_mine"}
    with pytest.raises(ValueError, match=f"^the model's predictor is made by make_mine of {file}: "
                       "its code is run only if you name the file"):  # fmt: skip
        find(names)
    assert not was_run(file)
    found = find(names, code=file)
    assert was_run(file)
    assert found.predictor(PredictorConfig(), 5).width == 640
    assert found.names() == names
    assert find(names, made_by={"predictor": make_other}).predictor is make_other


def test_what_is_missing_is_said(file: Path) -> None:
    gone = file.with_name("gone.py")
    with pytest.raises(ValueError, match=f"of {gone}, which is not on this machine: its code"):
        find({"encoder": f"{gone}:make"})
    with pytest.raises(ValueError, match="of train.py: its code is run only if you name the file"):
        find({"encoder": "train.py:make"})
    with pytest.raises(ValueError, match=f"^model_code is {gone}, it must be the file"):
        find({"encoder": f"{gone}:make"}, code=gone)
    with pytest.raises(ValueError, match=f"made by make_yours, which {file} lacks$"):
        find({"encoder": f"{gone}:make_yours"}, code=file)
    text = file.with_name("README")
    text.write_text("no code")
    with pytest.raises(ValueError, match=f"^model_code is {text}, it must be a file of Python"):
        find({"encoder": f"{gone}:make"}, code=text)


def test_a_file_finds_its_neighbours(file: Path) -> None:
    train = file.with_name("train.py")
    train.write_text("from mine import make_mine\n", encoding="utf-8")
    found = find({"predictor": f"{file}:make_mine"}, code=train)
    assert found.names()["predictor"] == f"{file}:make_mine"


HARMFUL = [
    "os:system", "subprocess:run", "builtins:exec", "builtins.py:exec", "posix:system", "sys:exit",
    "numpy:load", "torch:load", "torch.hub:load", "importlib:import_module", ":exec", "exec",
    "icefall_sampled.config:Config", "icefall_sampled.cli:run", "shutil:rmtree", "", "posix.py:os",
]  # fmt: skip


@pytest.mark.parametrize("part", OURS)
@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_name_calls_nothing(part: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no factory of a part|its code is run only if you"):
        find(OURS | {part: name})


def test_a_damaged_folder_or_a_foreign_one_runs_nothing(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    save_folder(folder, tiny_model(), lang_dir=write_tokens(tmp_path / "lang"))
    description = json.loads((folder / "config.json").read_text())
    assert description["factories"] == OURS
    for name in ("os:system", f"{file}:make_mine", "subprocess:run", "builtins:exec", 5, None):
        changed = description | {"factories": OURS | {"encoder": name}}
        (folder / "config.json").write_text(json.dumps(changed))
        for load in (load_folder, open_model):
            with pytest.raises(ValueError, match="its code is run only if you name the file"):
                load(folder)
    assert not was_run(file)


def test_an_exported_folder_has_no_path_of_its_machine(tmp_path: Path) -> None:
    model = Factories(predictor=make_other).model(tiny_config(), 12)
    save_folder(tmp_path / "out", model, lang_dir=write_tokens(tmp_path / "lang"))
    description = json.loads((tmp_path / "out/config.json").read_text())
    assert description["factories"] == OURS | {"predictor": "test_factories.py:make_other"}
    assert str(HERE.parent) not in (tmp_path / "out/config.json").read_text()
    loaded, _ = load_folder(tmp_path / "out", made_by={"predictor": make_other})
    assert loaded.factories == Factories(predictor=make_other)


def test_the_factories_make_what_they_are_asked_for() -> None:
    model = Factories().model(Config(encoder=tiny_config().encoder), 12)
    assert isinstance(model.encoder, Conformer)
    assert model.factories == Factories(encoder=make_conformer)
