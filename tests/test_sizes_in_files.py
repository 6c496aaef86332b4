"""What a file says of its own size is looked at before it is believed: JSON, arrays, headers, configs, packed tars."""

from __future__ import annotations

import gzip
import io
import json
import resource
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import micro
import official_small
from dreamx import cli, plaintext, tensor_file
from dreamx.checkpoints import native, official_names
from dreamx.clip import Clip
from dreamx.config import from_json, to_json
from dreamx.data.dataset.tar_index import TarIndex
from dreamx.data.importers.estimates import _arrays
from dreamx.geometry.formats.arrays import read_npy, read_npz, write_npy
from dreamx.model.depth_net import DepthConfig
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.vae import VAEConfig
from dreamx.model.word_encoder import WordConfig
from dreamx.rollout import Sampler
from dreamx.session import WorldConfig
from dreamx.train.teacher_forcing import TeachingConfig
from dreamx.world import World

DEEP = "[" * 5000 + "]" * 5000


def grown(act: Callable[[], object]) -> float:
    """By how many megabytes the most that this process ever had grows."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    act()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.parametrize("text", [DEEP, DEEP[:5000], '{"a":' * 500 + "1" + "}" * 500, "[" * 65 + "]" * 65])
def test_deep_json(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply|not JSON"):
        plaintext.parse_json(text, "it")


def test_json_that_passes() -> None:
    assert plaintext.parse_json(b'\xef\xbb\xbf{"a": [1, -2, 3.5, "x"]}') == {"a": [1, -2, 3.5, "x"]}
    assert plaintext.parse_json("[" * 60 + "]" * 60)
    assert plaintext.parse_json('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1" * 400, "it: a number in it is too long"),
        ("1" * 5000, "it: a number in it is too long"),
        ("[" + "0," * 5_000_001 + "0]", "it: it is too large"),
        ("{", r"it: not JSON \(.*, line 1\)"),
    ],
)
def test_json_that_is_too_large(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plaintext.parse_json(text, "it")
    with pytest.raises(ValueError, match="a key stands twice"):
        plaintext.parse_json('{"a": 1, "a": 2}', once=True)


def test_a_file_of_json_may_be_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    assert plaintext.read_json(tmp_path / "a.json", 9) == [1, 2, 3]
    with pytest.raises(ValueError, match=r"a\.json: has 9 bytes, and 8 are read at most"):
        plaintext.read_json(tmp_path / "a.json", 8)


def test_there_is_one_reader_of_json() -> None:
    """Everything of ours goes through ``plaintext``; what is written and read again in one line may stay."""
    source = Path(plaintext.__file__).parent
    others = [
        f"{file.relative_to(source)}: {line.strip()}"
        for file in source.rglob("*.py")
        if file.name != "plaintext.py"
        for line in file.read_text().splitlines()
        if ("json.load(" in line or "json.loads(" in line) and "json.loads(json.dumps(" not in line
    ]
    assert others == []


def test_an_error_does_not_echo_what_it_was_given() -> None:
    for data in ({"x" * 10**6: 1}, ["y" * 10**6] * 3, {**to_json(WordConfig()), "width": "z" * 10**6}):
        with pytest.raises(ValueError) as e:
            from_json(WordConfig, data)
        assert len(str(e.value)) < 700


def bomb(arrays: int, each: int) -> bytes:
    """An ``.npz`` of so many arrays of zeros, of ``each`` bytes."""
    out = io.BytesIO()
    header = write_npy(torch.zeros(0, dtype=torch.uint8)).replace(b"(0,)".ljust(20), f"({each},)".encode().ljust(20))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(arrays):
            file.writestr(f"a{i}.npy", header + bytes(each))
    return out.getvalue()


def test_an_npz_that_unpacks_to_very_much(tmp_path: Path) -> None:
    data = bomb(20, 2**23)
    assert len(data) < 2**18
    with pytest.raises(ValueError, match="it unpacks to more than 128 MB"):
        read_npz(data)
    (tmp_path / "a.npz").write_bytes(bomb(6, 2**25))
    with pytest.raises(ValueError, match=r"a\.npz has \d+ bytes and unpacks to \d+, which no pictures do"):
        _arrays(tmp_path / "a.npz")


def test_a_member_that_says_it_is_large(tmp_path: Path) -> None:
    lie = write_npy(torch.zeros(4)).replace(b"(4,), }" + b" " * 9, b"(4000000000,), }")
    assert b"4000000000" in lie
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", lie)
    with pytest.raises(ValueError, match=r"images\.npy has \d+ bytes, too few for its shape \[4000000000\]"):
        _arrays(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="is cut short or too long"):
        read_npy(lie, "a")


def test_arrays_of_others_come_as_before() -> None:
    for kind in (">f8", "<f4", ">i2", "|u1", ">u4", "<f2"):
        x = (np.arange(12) * 7 % 100).astype(kind).reshape(3, 4)
        out = io.BytesIO()
        np.save(out, x)
        assert read_npy(out.getvalue(), "x").tolist() == x.tolist()
    with pytest.raises(ValueError, match="a trajectory 16777216 at most"):
        read_npy(write_npy(torch.zeros(0, dtype=torch.uint8)) + bytes(2**24 + 1), "x")


def header(count: int) -> bytes:
    """A safetensors file of so many tensors of nothing."""
    one = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps({f"t{i}": one for i in range(count)}).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_header_of_very_many_tensors(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(header(tensor_file.TENSOR_LIMIT + 1))
    for read in (tensor_file.load, native.read, Clip.load):
        with pytest.raises(ValueError, match=r"it lists 262145 tensors, and 262144 are read at most"):
            read(file)
    file.write_bytes(header(3))
    assert len(tensor_file.load(file)) == 3


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 100) + b"{}"])
def test_a_header_that_is_longer_than_the_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"its header has \d+ bytes, and the file \d+"):
        tensor_file.load(tmp_path / "a.safetensors")


def test_there_is_one_way_into_safetensors() -> None:
    source = Path(plaintext.__file__).parent
    users = [f.name for f in source.rglob("*.py") if "safe_open(" in f.read_text() or "load_file(" in f.read_text()]
    assert sorted(users) == ["home.py", "tensor_file.py"]  # the first reads what it has baked itself


NETWORKS = [
    (VAEConfig(), ("latent", "patch", "encoder", "decoder", "blocks")),
    (micro.DIT, ("channels", "width", "heads", "layers", "mlp", "text", "patch", "frequencies")),
    (WordConfig(), ("width", "heads", "layers", "rows", "words")),
    (DepthConfig(), ("widths", "blocks", "heads")),
    (ViewConfig(64, 4), ("width", "heads")),
    (Sampler(), ("steps", "chunk", "window", "sinks")),
    (TeachingConfig(), ("batch", "chunk")),
    (micro.world().config, ("height", "width")),
]


@pytest.mark.parametrize(("config", "field"), [(c, f) for c, fields in NETWORKS for f in fields], ids=lambda x: str(x)[:20])
@pytest.mark.parametrize("size", [-1, 10**6, 10**9, 10**18])
def test_every_size_of_a_config_has_two_ends(config: Any, field: str, size: int) -> None:
    before = to_json(config)
    many = isinstance(before[field], list)
    if size == 10**6 and field in ("rows",):
        return  # of words: there are tokenizers of 256 thousand
    with pytest.raises(ValueError) as e:
        from_json(type(config), before | {field: [size] * len(before[field]) if many else size})
    assert len(str(e.value)) < 300


@pytest.mark.parametrize("config", [VAEConfig(), DepthConfig()], ids=["vae", "depth"])
def test_levels_are_few(config: Any) -> None:
    names = [k for k, v in to_json(config).items() if isinstance(v, list)]
    with pytest.raises(ValueError, match="must have 1 to 10 levels, not 10000"):
        from_json(type(config), to_json(config) | {k: [16] * 10_000 for k in names})
    with pytest.raises(ValueError, match="must have 1 to 10 levels, not 0"):
        from_json(type(config), to_json(config) | {k: [] for k in names})


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        (WordConfig(), {"heads": 5}),
        (DepthConfig(), {"widths": [8, 64, 96]}),
        (DepthConfig(), {"heads": 5}),
        (micro.world().config, {"lens": [0.0, 1.0, 0.5, 0.5]}),
        (micro.world().config, {"height": 16384, "width": 16384}),
    ],
)
def test_sizes_that_do_not_go_together(config: Any, changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="divide|multiples|focal|pixels"):
        from_json(type(config), to_json(config) | changed)


def test_a_config_is_not_built_before_its_file_could_fill_it(tmp_path: Path) -> None:
    """A transformer of 60 GB, whose file has some kilobytes."""
    native.save(tmp_path, {"dit": (DiT(micro.DIT), micro.DIT)})
    large = replace(micro.DIT, width=4096, mlp=16384, layers=100, heads=micro.DIT.heads)
    (tmp_path / "config.json").write_text(json.dumps({"dit": to_json(large)}))

    def refused() -> None:
        with pytest.raises(
            ValueError, match=r"dit\.safetensors: has \d+ bytes, and the dit of the config.json beside it \d+ numbers"
        ):
            native.load(tmp_path, "dit", DiT, DiTConfig)

    assert grown(refused) < 200


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_world_is_not_opened(tmp_path: Path, value: float, capsys: pytest.CaptureFixture[str]) -> None:
    micro.world().export(tmp_path / "world")
    file = tmp_path / "world/dit.safetensors"
    tensors = {k: x.clone() for k, x in tensor_file.load(file).items()}
    name = next(k for k, x in tensors.items() if x.numel() > 10)
    tensors[name].view(-1)[5] = value
    save_file(tensors, file)
    with pytest.raises(ValueError, match=f"'{name}' holds NaN or infinity"):
        World.open(tmp_path / "world")
    with pytest.raises(SystemExit) as e:
        cli.main(["generate", "--actions", "w*4", "--world", str(tmp_path / "world"), "--out", str(tmp_path / "out.mp4")])
    assert e.value.code == 2
    assert name in capsys.readouterr().err


def test_a_packed_tar_that_unpacks_to_very_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamx.data.dataset.tar_index._SLACK", 2**20)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("a.json", b"{}"), ("b.video.mp4", bytes(2**23)), ("c.json", b"{}")):
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(out.getvalue()))
    found = TarIndex(str(tmp_path / "a.tar.gz")).samples
    assert [k.partition("#")[2] for k, v in found.items() if v] == ["a", "b"]
    assert found["a.tar.gz"] == {}  # it cannot be read to its end


def test_a_member_that_says_it_is_larger_than_its_tar(tmp_path: Path) -> None:
    about = tarfile.TarInfo("a.json")
    about.size = 2**40
    (tmp_path / "a.tar").write_bytes(about.tobuf(tarfile.GNU_FORMAT) + b"{}".ljust(512, b"\0"))
    index = TarIndex(str(tmp_path / "a.tar"))
    member = next(m for files in index.samples.values() for m in files.values())
    assert grown(lambda: index.read(member)) < 100
    assert len(index.read(member)) <= 512


@pytest.mark.parametrize("words", ["--run.steps " + "9" * 400, "--teaching.batch 0", "--teaching.batch 1000000000"])
def test_flags_of_any_size(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors")
    (tmp_path / "from").mkdir()
    rest = "--run.folder r --data a.safetensors --from from --out o" + ("" if "run.steps" in words else " --run.steps 1")
    with pytest.raises(SystemExit) as e:
        cli.main(["train", "causal", *rest.split(), *words.split()])
    assert e.value.code == 2
    said = capsys.readouterr().err
    assert len(said) < 300 and words.split()[0].rpartition(".")[2] in said


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        torch.empty(2**62, dtype=torch.uint8)

    monkeypatch.setattr(cli, "_call", full)
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor"])
    assert e.value.code == 2
    assert "needs more memory than the machine has" in capsys.readouterr().err


def test_a_world_that_says_nonsense_of_its_picture() -> None:
    with pytest.raises(ValueError, match="height must be"):
        from_json(WorldConfig, to_json(micro.world().config) | {"height": 0})


def test_a_sentence_about_what_somebody_wrote_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        cli.main(["trajectory", "check", "x", "--dialect", "no\x1b[2J" + "a" * 10**5])
    assert e.value.code == 2
    said = capsys.readouterr().err
    assert len(said) <= 1001 and said.isprintable() is False and "\x1b" not in said


@pytest.mark.parametrize("key", ["num_layers", "dim", "ffn_dim", "text_dim", "text_len"])
@pytest.mark.parametrize("size", [10**7, 10**18])
def test_a_released_config_has_the_same_bounds(key: str, size: int) -> None:
    """It is no JSON of ours, and builds the same network."""
    said = official_names.write_config(*official_small.CAUSAL) | {key: size}
    with pytest.raises(ValueError, match="at most|divide"):
        official_names.read_config(said, True)
        official_names.read_kind(said, True)
