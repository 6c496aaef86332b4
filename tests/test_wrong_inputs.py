"""Wrong inputs of every command: one sentence that names what is wrong, exit code 2, and nothing left behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import micro
import wrong_data
import wrong_eval
import wrong_train
import wrong_use
from data_stages import walk_clip
from dreamx import cli
from dreamx.data import dataset
from dreamx.data.commands import ExportConfig, export
from dreamx.data.encode import EncodeConfig, encode
from dreamx.geometry.formats import MotionOptions
from dreamx.memory import MemoryConfig
from dreamx.trajectory import TrajectoryImportConfig, import_trajectory

SECONDS = 60  # that a wrong input may take: what it starts is cut off, instead of being waited for


@dataclass(frozen=True)
class Wrong:
    """words: what is typed; named: one of these must be in the sentence."""

    words: tuple[str, ...]
    named: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def rows(table: str) -> Iterator[Wrong]:
    command = ""
    for line in filter(str.strip, table.splitlines()):
        if not line.startswith(" "):
            command = line
            continue
        wrong, _, names = line.partition("|")
        yield Wrong(tuple(shlex.split(f"{command} {wrong}")), tuple(n.strip() for n in names.split(",")))


WRONG = [row for table in (wrong_use, wrong_data, wrong_train, wrong_eval) for row in rows(table.WRONG)]


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small thing of each kind that commands read, and some broken ones."""
    root = tmp_path_factory.mktemp("yard")
    for name in ("empty", "folder.mp4", "films", "damaged", "clips"):
        (root / name).mkdir()
    clips = [(f"walk-{i}", walk_clip(i, 9, (32, 32))) for i in range(2)]
    for name, clip in clips:
        clip.save(root / f"clips/{name}.safetensors")
    dataset.write(str(root / "set"), clips)
    export(ExportConfig(str(root / "set"), str(root / "tars")))
    world = micro.world(memory=MemoryConfig(capacity=4))
    world.export(root / "world")
    world.export(root / "vae")
    encode(EncodeConfig(root / "clips", root / "vae", root / "latents.safetensors", processes=1))
    Image.new("RGB", (64, 48), "teal").save(root / "picture.png")
    (root / "cut.png").write_bytes((root / "picture.png").read_bytes()[:60])
    (root / "notes.txt").write_text("Not what you are looking for.\n")
    (root / "broken.json").write_text('{"frames": [')
    for name in ("film.mp4", "taken.mp4", "films/a.mp4"):
        (root / name).write_bytes(b"\0\0\0\x18ftypmp42 and no more")
    (root / "damaged/broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0no tensors")
    for name in ("config.json", "report.json"):
        (root / "damaged" / name).write_text("{")
    torch.save({"x": torch.zeros(1)}, root / "model.pt")
    save_file({"x": torch.zeros(1)}, root / "model.safetensors")
    start = {"image_path": "picture.png", "caption": "A park", "action_seq": ["w"], "action_speed_list": [4]}
    (root / "list.json").write_text(json.dumps([start]))
    asked = MotionOptions(fps=16.0, size=(64, 64), lens=(1.0, 1.0, 0.5, 0.5))
    import_trajectory(TrajectoryImportConfig("w-8", "hy-string", root / "path.json", asked))
    shutil.copy(root / "path.json", root / "taken.json")
    begun = "--run.folder begun --run.steps 1 --run.threads 1 --data latents.safetensors --from world --out begun-out"
    with contextlib.chdir(root):
        cli.main(["train", "causal", *begun.split()])
    return root


def seen(root: Path) -> dict[str, str]:
    """Every file and folder below ``root``, with what is in it."""
    return {
        str(p.relative_to(root)): hashlib.md5(p.read_bytes()).hexdigest() if p.is_file() else "folder" for p in root.rglob("*")
    }


@pytest.fixture(autouse=True)
def _not_for_ever() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"it was not refused within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("row", WRONG, ids=str)
def test_one_sentence_and_nothing_left_behind(
    row: Wrong, yard: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(yard)
    before, threads = seen(yard), torch.get_num_threads()
    with pytest.raises(SystemExit) as e:
        cli.main(row.words)
    said = capfd.readouterr().err
    after = seen(yard)
    for name in sorted(set(after) - set(before), reverse=True):  # one that is not refused shall not spoil the rows below it
        (yard / name).rmdir() if after[name] == "folder" else (yard / name).unlink()
    assert torch.get_num_threads() == threads
    assert e.value.code == 2, said
    assert len(said.splitlines()) == 1, said
    assert len(said) <= 300, said
    assert said.startswith("dreamx"), said
    assert "Traceback" not in said
    assert any(name in said for name in row.named), said
    assert after == before


def test_the_table_knows_every_command() -> None:
    def every(commands: dict[str, object], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, found in commands.items():
            if isinstance(found, dict):
                yield from every(found, (*path, name))
            else:
                yield (*path, name)

    missing = [path for path in every(cli.COMMANDS, ()) if not any(row.words[: len(path)] == path for row in WRONG)]
    assert missing == []
    assert len(WRONG) > 220
