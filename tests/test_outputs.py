"""No command writes over, deletes or mixes with what it did not make: one sentence, exit code 2, and every byte as it was."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import layouts
from data_stages import walk_clip
from dreamx import atomic, manifest
from dreamx.checkpoints import native
from dreamx.cli import main
from dreamx.data import dataset
from dreamx.model.vae import VAE, VAEConfig
from dreamx.train import autoencoder
from repo import TESTS

SMALL = VAEConfig(latent=4, encoder=(8, 12, 16), decoder=(8, 12, 16), blocks=(1, 1, 1))
MICRO = TESTS / "files/micro"
RUN = "--run.steps 1 --run.folder new/run"


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commands read, and folders of somebody else."""
    root = tmp_path_factory.mktemp("given")
    (root / "clips").mkdir()
    for i in range(2):
        walk_clip(i, 12).save(root / f"clips/walk-{i}.safetensors")
    dataset.write(str(root / "set"), [(f"walk-{i}", walk_clip(i, 12)) for i in range(2)])
    (root / "twins").mkdir()
    for i in range(2):
        walk_clip(50 + i, 12).save(root / f"twins/walk-{i}.safetensors")
    (root / "shots").mkdir()
    layouts.LAYOUTS["megasam"][1](root / "shots", *layouts.walk())
    vae = VAE(SMALL)
    native.save(root / "vae", {"vae": (vae, SMALL)})
    other = {name: (torch.nn.Linear(1, 1), SMALL) for name in ("depth", "dit")}
    native.save(root / "world", {"vae": (vae, SMALL), **other})
    (root / "other").mkdir()  # twelve clips of another day, and words about them
    for i in range(12):
        walk_clip(100 + i, 5).save(root / f"other/{i:07d}_00.safetensors")
    (root / "notes").mkdir()
    (root / "notes/notes.txt").write_text("mine")
    (root / "project/data").mkdir(parents=True)
    (root / "project/data/thesis.txt").write_text("mine")
    (root / "project/meta.txt").write_text("mine")
    (root / "one.json").write_text('{"mine": 1}')
    (root / "page.html").write_text("<p>mine</p>")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / "photo.png")
    shutil.copy(root / "one.json", root / "walk.json")
    (root / "latents").touch()
    return root


DRAW = "--scenes 1 --processes 1 --frames 9 --width 16 --height 16"
TO_A_FOLDER = (
    f"data render {DRAW}",
    f"data simulate {DRAW}",
    "data doom --clips 1",
    "data import megasam shots --rate 10 --licence CC0 --processes 1",
    "data curate clips --processes 1",
    "data caption clips --endpoint.model eyes",
    "data pack clips --processes 1",
    "data curate set --processes 1",
    "data unpack set",
    "data export set",
    "data starts --each 1",
    f"data render {DRAW} --dataset",
    f"train autoencoder --data clips {RUN}",
    f"train decoder --data clips --from vae {RUN}",
    f"train depth --data clips {RUN}",
    f"train pose --data clips {RUN}",
    f"train classifier --data clips {RUN}",
    f"train causal --data latents --from vae {RUN}",
    "train curriculum --scale micro",
    "eval quick --truth new/truth",
    "eval speed",
)
#: Onto what is read, and over a file of another kind.
TO_A_PLACE = (
    "data curate clips --out clips --processes 1",
    "data caption clips --out clips --endpoint.model eyes",
    "data unpack set --out set",
    "data unpack set --out twins",
    "data pack clips --out clips --processes 1",
    "data pack set --out set --processes 1",
    "data export set --out set",
    "data import megasam shots --out shots --rate 10 --licence CC0 --processes 1",
    "data encode --clips clips --vae vae --out clips/walk-0.safetensors --processes 1",
    "data encode --clips clips --vae vae --out vae/vae.safetensors --processes 1",
    "data encode --clips clips --vae vae --out one.json --processes 1",
    "data report clips --out page.html",
    "data report clips --out clips/walk-0.safetensors",
    "data sheet --clips clips --out photo.png",
    "data sheet --clips clips --out clips/walk-0.safetensors",
    f"train autoencoder --data clips --out clips {RUN}",
    f"train autoencoder --data clips --out world {RUN}",
    f"train autoencoder --data clips --out vae {RUN}",
    f"train autoencoder --data clips --from vae --out vae {RUN}",
    f"train decoder --data clips --from vae --out world {RUN}",
    "train autoencoder --data clips --out new/model --run.steps 1 --run.folder clips",
    "train autoencoder --data clips --out new/model --run.steps 1 --run.folder notes",
    "eval draw memory --out one.json",
    "eval speed --out world",
    "convert vae --out world",
    "trajectory preview w-31 --dialect hy-string --out page",
    "trajectory import w-31 --dialect hy-string --out one.json",
    'generate --actions w*4 --out walk.mp4 --prompt "a park"',
)


def refused(words: str, given: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence by which a command refuses; nothing has changed."""
    monkeypatch.chdir(given)
    before = everything(given)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1), said
    after = everything(given)
    assert sorted(after) == sorted(before)
    assert after == before
    return said


@pytest.mark.parametrize("place", ["other", "notes", "project", "one.json"])
@pytest.mark.parametrize("words", TO_A_FOLDER)
def test_a_folder_of_somebody_else_is_refused(
    words: str, place: str, given: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(f"{words} --out {place}", given, monkeypatch, capsys)
    assert "out" in said and place in said


@pytest.mark.parametrize("words", TO_A_PLACE)
def test_what_is_there_is_not_written_over(
    words: str, given: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(words, given, monkeypatch, capsys)
    assert "out" in said or "run.folder" in said


def test_a_folder_is_of_one_kind_and_of_one_setting(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "clips"
    manifest.claim(folder, "clips", (r"\d\.txt",), {"width": 8, "wanted": {"fps": 4}})
    (folder / "1.txt").write_text("x")
    (folder / "2.txt.tmp").write_text("half")
    manifest.claim(folder, "clips", (r"\d\.txt",), {"width": 8, "wanted": {"fps": 4}})
    assert sorted(p.name for p in folder.iterdir()) == [manifest.NAME, "1.txt"]
    for kind, settings, says in (
        ("films", {"width": 8}, "holds clips, and this would be films"),
        ("clips", {"width": 16}, "width: .* was begun with 8, not 16"),
        ("clips", {"width": 8, "wanted": {"fps": 5}}, r"wanted\.fps: .* was begun with 4, not 5"),
    ):
        with pytest.raises(ValueError, match=says):
            manifest.claim(folder, kind, (r"\d\.txt",), settings)
    (folder / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="holds mine.txt, which this command did not write"):
        manifest.claim(folder, "clips", (r"\d\.txt",), {"width": 8})


def test_a_folder_that_nothing_was_written_to_goes_when_the_command_fails(tmp_path: Path) -> None:
    manifest.claim(tmp_path / "a/b", "clips", (r"\d\.txt",))
    manifest.claim(tmp_path / "c", "clips", (r"\d\.txt",))
    (tmp_path / "c/1.txt").write_text("x")
    manifest.undo()
    assert sorted(everything(tmp_path)) == ["c", f"c/{manifest.NAME}", "c/1.txt"]


def test_what_was_made_before_there_were_manifests_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unpacked clips and a run of training, without their manifests, as an older dreamx left them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(autoencoder, "_MEASURED", 2)
    dataset.write("set", [(f"walk-{i}", walk_clip(i, 12)) for i in range(2)])
    train = f"train autoencoder --data {MICRO} --out m --run.folder r --run.steps 1 --batch 1 --vae.latent 4"
    train += " --vae.encoder 8 12 16 --vae.decoder 8 12 16 --vae.blocks 1 1 1"
    for words in ("data unpack set --out c", train):
        main(words.split())
    for place in tmp_path.rglob(manifest.NAME):
        place.unlink()
    (tmp_path / "c/walk-1.safetensors").unlink()
    (tmp_path / "c/walk-1.tmp").write_text("half")
    for words in ("data unpack set --out c", train):
        main(words.split())
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [manifest.NAME, "walk-0.safetensors", "walk-1.safetensors"]
    assert "going on from step 1 of 1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*train.split(), "--lr", "0.5"])
    assert "lr: r was begun with 0.0015, not 0.5" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(train.replace("--run.folder r", "--run.folder other").split())
    assert "run.folder: m was begun with ../r, not ../other" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_files_have_the_mode_that_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        walk_clip(0, 5).save(tmp_path / "clip.safetensors")
        native.save(tmp_path / "vae", {"vae": (VAE(SMALL), SMALL)})
        atomic.write_text(tmp_path / "words.txt", "x")
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*") if p.is_file()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("clip.safetensors", "vae.safetensors", "config.json", "words.txt"), 0o640)


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a", "old")
    with pytest.raises(KeyboardInterrupt), atomic.whole(tmp_path / "a") as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert everything(tmp_path) == {"a": b"old"}


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / manifest.NAME).write_text(json.dumps([1]))
    with pytest.raises(ValueError, match=r"\.dreamx\.json is not a manifest of dreamx"):
        manifest.claim(tmp_path, "clips", ())
