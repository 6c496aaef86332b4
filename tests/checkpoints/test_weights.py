"""Networks on disk: whole or not at all, and a file that does not fit is one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from dreamx.checkpoints import native


@dataclass(frozen=True)
class Size:
    width: int
    deep: bool = False


def net(width: int, deep: bool = False, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), *([nn.Linear(width, width)] if deep else []))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    native.save(tmp_path / "w", {"dit": (net(3), Size(3)), "text": (net(4), Size(4, True))})
    return tmp_path / "w"


def test_round_trip_is_exact(folder: Path) -> None:
    fresh = net(3, seed=1)
    native.load_into(fresh, folder / "dit.safetensors")
    for key, tensor in net(3).state_dict().items():
        assert torch.equal(fresh.state_dict()[key], tensor)
    assert native.read_config(folder, "text", Size) == Size(4, True)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "dit.safetensors", "text.safetensors"]


def test_half_the_bytes_are_float16_and_load_as_float32(tmp_path: Path) -> None:
    native.save(tmp_path / "w", {"dit": (net(300), Size(300))})
    native.save(tmp_path / "h", {"dit": (net(300), Size(300))}, half=True)
    sizes = [(tmp_path / name / "dit.safetensors").stat().st_size for name in "wh"]
    assert sizes[1] < 0.6 * sizes[0]
    fresh = net(300, seed=1)
    native.load_into(fresh, tmp_path / "h" / "dit.safetensors")
    for key, tensor in net(300).state_dict().items():
        assert fresh.state_dict()[key].dtype == torch.float32
        assert torch.equal(fresh.state_dict()[key], tensor.half().float())
    large = net(3)
    torch.nn.init.constant_(large.get_parameter("0.bias"), 1e5)
    with pytest.raises(ValueError, match=r"dit\.0\.bias holds NaN or infinity"):
        native.save(tmp_path / "h", {"dit": (large, Size(3))}, half=True)
    assert native.read_config(tmp_path / "h", "dit", Size) == Size(300)


def test_saving_again_replaces_the_whole_set(folder: Path) -> None:
    native.save(folder, {"dit": (net(5), Size(5))})
    assert native.read_config(folder, "dit", Size) == Size(5)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "dit.safetensors"]


def test_killed_between_files_leaves_no_seal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def killed(old: Path, new: Path) -> None:
        if new.suffix == ".safetensors":
            raise SystemExit
        replace(old, new)

    monkeypatch.setattr(native.os, "replace", killed)
    with pytest.raises(SystemExit):
        native.save(folder, {"dit": (net(5), Size(5))})
    with pytest.raises(ValueError, match=r"config\.json: no such file"):
        native.read_config(folder, "dit", Size)


def test_failing_while_writing_leaves_the_old_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(native, "save_file", full)
    with pytest.raises(OSError, match="disk full"):
        native.save(folder, {"dit": (net(5), Size(5))})
    assert native.read_config(folder, "dit", Size) == Size(3)
    native.load_into(net(3), folder / "dit.safetensors")


def test_nan_never_replaces_good_weights(folder: Path) -> None:
    broken = net(3)
    with torch.no_grad():
        next(broken.parameters())[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"dit\.0\.weight holds NaN"):
        native.save(folder, {"dit": (broken, Size(3))})
    native.load_into(net(3), folder / "dit.safetensors")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (net(3, deep=True), ["has no '1.weight' (and 1 more)", "Sequential", "its own config"]),
        (nn.Sequential(), ["'0.bias' (and 1 more) has no place", "Sequential"]),
        (net(4), ["(3, 2)", "(4, 2)", "0.weight", "another config"]),
    ],
)
def test_a_file_that_does_not_fit(folder: Path, module: nn.Module, words: list[str]) -> None:
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError) as e:
        native.load_into(module, folder / "dit.safetensors")
    assert all(w in str(e.value) for w in [*words, "dit.safetensors"]), str(e.value)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_truncated_file(folder: Path, keep: int) -> None:
    file = folder / "dit.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"dit\.safetensors: not a whole safetensors file"):
        native.load_into(net(3), file)


def test_missing_files_and_names(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"vae\.safetensors: no such file"):
        native.load_into(net(3), folder / "vae.safetensors")
    with pytest.raises(ValueError, match="holds no network 'vae' but dit, text"):
        native.read_config(folder, "vae", Size)
    with pytest.raises(ValueError, match=r"config\.json: no such file"):
        native.read_config(tmp_path / "nowhere", "vae", Size)


def test_bad_config_names_file_and_key(folder: Path) -> None:
    file = folder / "config.json"
    data = json.loads(file.read_text())
    data["dit"]["wdith"] = 3
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"config\.json: config Size: the key 'wdith' is unknown"):
        native.read_config(folder, "dit", Size)
    file.write_text('{"dit": {')
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        native.read_config(folder, "dit", Size)


def test_opening_a_world_does_not_import_the_compiler() -> None:
    """Counting its numbers on the meta device drew them, which imported torch._dynamo: a second before the first picture."""
    code = "import sys; from dreamx.world import World; World.open('tiny'); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
