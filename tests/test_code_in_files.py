"""No file that somebody else made runs code: networks of scores, and the state of a run."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import metadata as plan

from dreamx import cli
from dreamx.checkpoints.exported import network
from dreamx.eval.metrics.backbones import Backbones
from dreamx.train import checkpoint
from dreamx.train.tensor_plan import read_plan

PICTURES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.file),))


class Bright(nn.Module):
    """A rater of pictures."""

    def forward(self, pictures: Tensor) -> Tensor:
        return 100 * pictures.mean((1, 2, 3))


class Saves(nn.Module):
    """Writes a file when it is asked."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def forward(self, pictures: Tensor) -> Tensor:
        torch.save(pictures, self.file)
        return pictures.mean((1, 2, 3))


class SavesAtOnce(nn.Module):
    """Writes a file while it is loaded."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (self.file, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.file, self.training = state
        torch.save(torch.zeros(1), self.file)

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((1, 2, 3))


class Reads(nn.Module):
    """Maps a file of this machine."""

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.from_file("/etc/hostname", False, 4).sum() + pictures.mean((1, 2, 3))


def scripted(module: nn.Module, file: Path) -> Path:
    torch.jit.save(torch.jit.script(module), file)
    return file


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {n: archive.read(n) for n in archive.namelist()}


def archived(file: Path, held: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return file


def program(file: Path) -> dict[str, bytes]:
    """What is in an exported program of any number of pictures."""
    many = torch.export.Dim("n", min=2, max=64)
    torch.export.save(torch.export.export(nn.Conv2d(3, 1, 8), (PICTURES,), dynamic_shapes=({0: many},)), file)
    return members(file)


def with_pickle(file: Path, made: Path) -> Path:
    """An exported program whose first weight is a pickle that makes ``made``."""
    held = program(file)
    config = next(n for n in held if n.endswith("weights_config.json"))
    held[config] = re.sub(rb'"use_pickle":\s*false', b'"use_pickle": true', held[config])
    torch.save(Payload(made), inner := file.with_suffix(".inner"))
    held[next(n for n in held if n.endswith("data/weights/weight_0"))] = inner.read_bytes()
    return archived(file, held)


def with_expression(file: Path, made: Path) -> Path:
    """One without a pickle, in which the number of pictures is an expression that makes ``made``."""
    held = program(file)
    graph = next(n for n in held if n.endswith("model.json"))
    code = f"__import__('os').mkdir('{made}')"
    held[graph] = re.sub(rb'("expr_str":\s*)"[^"]*"', lambda m: m[1] + f'"{code}"'.encode(), held[graph])
    return archived(file, held)


ATTACKS = pytest.mark.parametrize("attacked", [with_pickle, with_expression])


@ATTACKS
def test_an_exported_program_is_not_opened_unless_it_is_trusted(attacked: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    file, made = attacked(tmp_path / "quality.pt2", tmp_path / "made"), tmp_path / "made"
    with pytest.raises(ValueError, match=r"quality.pt2 is an exported program .* was not; .* say trust_code"):
        Backbones(quality=file).rate_of()
    assert not made.exists()
    with pytest.raises(ValueError, match="is no exported program"):
        network(file, trust_code=True)
    assert made.exists()  # so the attack is one, and the switch is what its name says


def test_the_command_line_refuses_it_and_names_the_switch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = with_pickle(tmp_path / "quality.pt2", tmp_path / "made")
    with pytest.raises(SystemExit) as e:
        cli.main(["eval", "basic", "--quality", str(file), "--out", str(tmp_path / "out"), "--truth", str(tmp_path / "truth")])
    assert e.value.code == 2
    assert "trust_code" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_torchscript_that_counts_is_opened(tmp_path: Path) -> None:
    rate = network(scripted(Bright(), tmp_path / "bright.pt"))
    torch.testing.assert_close(rate(PICTURES), 100 * PICTURES.mean((1, 2, 3)))
    assert rate(torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)).tolist() == pytest.approx([20])


@pytest.mark.parametrize("kind", ["saves", "at once", "reads"])
def test_torchscript_that_touches_files_is_not(tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    module = {"saves": Saves(str(made)), "at once": SavesAtOnce(str(made)), "reads": Reads()}[kind]
    file = scripted(module, tmp_path / "bad.pt")
    made.unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"bad.pt is TorchScript that names '(save|from_file)', which a backbone does not need"):
        network(file)
    assert not made.exists()
    if kind == "at once":  # so the attack is one
        torch.jit.load(file)
        assert made.exists()


def test_operations_and_objects_of_other_libraries(tmp_path: Path) -> None:
    whole = scripted(Bright(), tmp_path / "whole.pt")
    for words, said in (
        (b"ops.c10d.barrier(x)", "operations of 'c10d'"),
        (b"__torch__.torch.classes.dist.Store", "torch.classes.dist"),
    ):
        held = members(whole)
        held[next(n for n in held if n.endswith(".py"))] += b"# " + words
        archived(tmp_path / "other.pt", held)
        with pytest.raises(ValueError, match=said):
            network(tmp_path / "other.pt")
        network.cache_clear()


@pytest.mark.parametrize("data", [b"", b"no network", b"PK\x03\x04 no more"], ids=["empty", "text", "cut"])
def test_what_is_no_torchscript_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(ValueError, match=r"a.pt is no TorchScript \(.*\); save the network with torch.jit.save, or as ONNX"):
        network(tmp_path / "a.pt")


def test_pickles_of_python_are_no_torchscript(tmp_path: Path) -> None:
    torch.save(Payload(tmp_path / "made"), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="no code is in it"):
        network(tmp_path / "a.pt")
    assert not (tmp_path / "made").exists()


def test_onnx_is_given_to_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flow.onnx"
    file.write_bytes(b"a graph")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match="flow.onnx is ONNX, which needs the package onnxruntime"):
        network(file)

    class Session:
        def __init__(self, path: str, providers: list[str]) -> None:
            assert path == str(file) and providers == ["CPUExecutionProvider"]

        def get_inputs(self) -> list[types.SimpleNamespace]:
            return [types.SimpleNamespace(name="a"), types.SimpleNamespace(name="b")]

        def run(self, _: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [given["a"] - given["b"]]

    monkeypatch.setitem(sys.modules, "onnxruntime", types.SimpleNamespace(InferenceSession=Session))
    assert torch.equal(network(file)(PICTURES, PICTURES), torch.zeros_like(PICTURES))


def encoder(folder: Path, kind: str) -> Path:
    """A small DINOv2 or CLIP of random weights, as transformers writes it."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    if kind == "dinov2":
        config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, patch_size=56, image_size=224)
        Dinov2Model(config).save_pretrained(folder)
    else:
        small = CLIPVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, patch_size=16, image_size=32,
            projection_dim=8,
        )  # fmt: skip
        CLIPVisionModelWithProjection(small).save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.mark.parametrize(("kind", "width"), [("dinov2", 16), ("clip", 8)])
def test_safetensors_of_a_known_architecture(tmp_path: Path, kind: str, width: int) -> None:
    embed = network(encoder(tmp_path, kind))
    answer = embed(PICTURES)
    assert answer.shape == (2, width) and bool(answer.isfinite().all())
    torch.testing.assert_close(embed((PICTURES * 255).round().to(torch.uint8)), answer, atol=0.02, rtol=0.02)
    assert not torch.allclose(embed(1 - PICTURES), answer, atol=1e-3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "resnet"}, "model_type is 'resnet', and dinov2 and clip are known"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000, and at most 100 are built"),
        ({"hidden_size": 32}, "with its config.json it is no dinov2"),
        ({"num_hidden_layers": 2}, "'encoder.layer.1.* is missing"),
        ({"hidden_size": "wide"}, "with its config.json it is no dinov2"),
        ({"auto_map": {"AutoModel": "evil.Model"}, "model_type": "evil"}, "model_type is 'evil'"),
    ],
)
def test_safetensors_of_another_architecture(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    file = encoder(tmp_path, "dinov2")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(ValueError, match=said):
        network(file)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match="which say no architecture; put the config.json"):
        network(file)


TENSORS = {"a/weights": torch.arange(6.0).view(2, 3), "a/step": torch.tensor(3)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A checkpoint of a run."""
    checkpoint.write(tmp_path / "run", 7, TENSORS, {"rng": [1, 2]}, {"seed": 0})
    return tmp_path / "run/step-00000007"


def test_a_checkpoint_comes_back(written: Path) -> None:
    empty = {k: torch.zeros_like(t) for k, t in TENSORS.items()}
    assert checkpoint.read(written, empty) == (7, {"rng": [1, 2]}, {"seed": 0})
    assert all(torch.equal(empty[k], t) for k, t in TENSORS.items())


def test_a_plan_that_runs_code_does_not(written: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (written / ".metadata").write_bytes(pickle.dumps(Payload(made)))
    with pytest.raises(ValueError, match=r"\.metadata: names posix.mkdir, which a plan of tensors does not need"):
        checkpoint.read(written, {k: torch.zeros_like(t) for k, t in TENSORS.items()})
    assert not made.exists()


@pytest.mark.parametrize("name", ["builtins.eval", "torch.load", "torch.hub.load", "os.system", "pathlib.Path.touch"])
def test_a_plan_names_nothing_else(written: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    said = f"c{module}\n{attribute}\n.".encode()
    (written / ".metadata").write_bytes(said)
    with pytest.raises(ValueError, match=r"\.metadata: (names|holds more|is no plan)"):
        read_plan(written)


def test_values_that_torch_would_unpickle_are_refused(written: Path, tmp_path: Path) -> None:
    """Of entries that are no tensors torch.distributed.checkpoint reads the bytes with ``torch.load(weights_only=False)``."""
    found = read_plan(written)
    with (written / "__0_0.distcp").open("ab") as f:
        at = f.tell()
        torch.save(Payload(tmp_path / "made"), f)
        length = f.tell() - at
    for key, entry in list(found.state_dict_metadata.items()):
        found.state_dict_metadata[key] = plan.BytesStorageMetadata()
        for place in found.storage_data.values():
            place.offset, place.length = at, length
        del entry
    found.storage_data = {plan.MetadataIndex(k.fqn): v for k, v in found.storage_data.items()}
    (written / ".metadata").write_bytes(pickle.dumps(found))
    with pytest.raises(ValueError, match="BytesStorageMetadata, which a plan of tensors does not need"):
        checkpoint.read(written, {k: torch.zeros_like(t) for k, t in TENSORS.items()})
    assert not (tmp_path / "made").exists()


def test_a_plan_leads_out_of_no_folder(written: Path) -> None:
    found = read_plan(written)
    for place in found.storage_data.values():
        place.relative_path = "../../secret"
    (written / ".metadata").write_bytes(pickle.dumps(found))
    with pytest.raises(ValueError, match="holds more than a plan of tensors in this folder"):
        read_plan(written)


@pytest.mark.parametrize("how", ["cut", "empty", "other", "data"])
def test_a_damaged_state_is_one_sentence(written: Path, how: str) -> None:
    file = written / (".metadata" if how != "data" else "__0_0.distcp")
    data = file.read_bytes()
    file.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "other": pickle.dumps([1]), "data": data[:100]}[how])
    with pytest.raises(ValueError, match="is no plan of tensors|holds more than|cannot be read"):
        checkpoint.read(written, {k: torch.zeros_like(t) for k, t in TENSORS.items()})
