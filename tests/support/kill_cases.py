"""The commands that ``test_kills`` kills: their words, what they read, and what they must give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import layouts
from data_stages import walk_clip
from dreamx.checkpoints import native
from dreamx.clip import Clip
from dreamx.data import dataset as dataset_files
from dreamx.data.commands import ExportConfig, export
from dreamx.data.quality.curate import CurateConfig, curate
from dreamx.data.quality.limits import Limits
from dreamx.model.vae import VAE
from moving_clips import MICRO, moving_clip


def walks(again: bool = True) -> list[tuple[str, Clip]]:
    """Four walks, and the first once more, if ``again``."""
    every = [(f"walk-{i}", walk_clip(i, 12, (24, 24))) for i in range(4)]
    return [*every, ("walk-9", replace(every[0][1], caption="The same once more."))] if again else every


def clips(place: Path) -> None:
    """Walks in files, and one that is no clip."""
    place.mkdir()
    for name, clip in walks():
        clip.save(place / f"{name}.safetensors")
    (place / "broken.safetensors").write_bytes(b"no clip")


def dataset(place: Path) -> None:
    dataset_files.write(str(place), walks())


def untold(place: Path) -> None:
    place.mkdir()
    for name, clip in walks(again=False)[:3]:
        replace(clip, caption="", style="", scene="").save(place / f"{name}.safetensors")
    (place / "broken.safetensors").write_bytes(b"no clip")


def untold_dataset(place: Path) -> None:
    dataset_files.write(str(place), [(name, replace(clip, caption="")) for name, clip in walks(again=False)[:3]])


def tars(place: Path) -> None:
    dataset(place.with_name("to-export"))
    export(ExportConfig(str(place.with_name("to-export")), str(place), 2))


def curated(place: Path) -> None:
    clips(place.with_name("to-curate"))
    curate(CurateConfig(place.with_name("to-curate"), place, Limits(seconds=0.2, blur=None), processes=1))


def curated_dataset(place: Path) -> None:
    dataset(place.with_name("dataset-to-curate"))
    curate(CurateConfig(place.with_name("dataset-to-curate"), place, Limits(seconds=0.2, blur=None), processes=1))


def equal(place: Path) -> None:
    """Ten clips for an autoencoder, and one."""
    (place / "clips").mkdir(parents=True)
    for seed in range(10):
        moving_clip(seed, 5).save(place / f"clips/{seed}.safetensors")
    torch.manual_seed(0)
    native.save(place / "vae", {"vae": (VAE(MICRO), MICRO)})


def shots(kind: str) -> Callable[[Path], None]:
    """A folder in a published layout, with one shot of three clips."""

    def fill(place: Path) -> None:
        place.mkdir()
        layouts.LAYOUTS[kind][1](place, *layouts.walk())

    return fill


def realestate(place: Path) -> None:
    """Three shots of one film, one of them damaged."""
    shots("realestate10k")(place)
    text = (place / "train/0f0f.txt").read_text()
    (place / "train/1e1e.txt").write_text(text)
    (place / "train/2d2d.txt").write_text(text.replace(" ", " nan ", 1))


def nothing(place: Path) -> None:
    """It makes clips of nothing."""


@dataclass(frozen=True)
class Case:
    """A command: IN and OUT of its words are folders. made: fills IN. gives: what must be there, or the test would show nothing.
    needs: a library that may be missing."""

    words: str
    made: Callable[[Path], None]
    gives: str
    needs: str = ""


SMALL = "--wanted.width 32 --wanted.height 24 --wanted.frames 8"
TINY = "--clips 2 --wanted.frames 5 --wanted.width 32 --wanted.height 32"
ASK = "--endpoint.model eyes --endpoint.frames 2 --at-once 1 --endpoint.address ADDRESS"
LIMITS = "--processes 1 --limits.seconds 0.2 --limits.blur None"
DRAWN = "--width 16 --height 16 --processes 1 --frames"
#: Commands that write in one process.
CASES = {
    "pack": Case("pack IN --out OUT/d --processes 1", clips, "d/meta/info.json"),
    "pack-curate": Case(f"pack IN --out OUT/d {LIMITS} --curate --crf None", clips, "d/depth/chunk-000/file-000.mkv"),
    "unpack": Case("unpack IN --out OUT/c", dataset, "c/walk-0.safetensors"),
    "export": Case("export IN --out OUT/t --clips-a-tar 2", dataset, "t/shard-000002.tar"),
    "import-wds": Case("import-wds IN --out OUT/d --processes 1", tars, "d/depth/chunk-000/file-000.mkv"),
    "curate": Case(f"curate IN --out OUT/c {LIMITS}", clips, "c/walk-3.safetensors"),
    "curate-dataset": Case(f"curate IN --out OUT/d {LIMITS}", dataset, "d/depth/chunk-000/file-000.mkv"),
    "report": Case("report IN --out OUT/page.html --samples 2", curated, "page.html"),
    "report-dataset": Case("report IN --out OUT/page.html --samples 2", curated_dataset, "page.html"),
    "caption": Case(f"caption IN --out OUT/c {ASK}", untold, "c/walk-2.safetensors"),
    "caption-dataset": Case(f"caption IN --out OUT/d {ASK}", untold_dataset, "d/depth/chunk-000/file-000.mkv"),
    "encode": Case(
        "encode --clips IN/clips --vae IN/vae --out OUT/z.safetensors --processes 1 --no-mirror", equal, "z.safetensors"
    ),
    "doom": Case(f"doom --out OUT/c {TINY}", nothing, "c/doom-0000001.safetensors", "vizdoom"),
    "import": Case(f"import realestate10k IN --out OUT/c --processes 1 {SMALL}", realestate, "c/1e1e-2.safetensors"),
    "import-sekai": Case(f"import sekai IN --out OUT/c --processes 1 {SMALL}", shots("sekai"), "c/records"),
    "import-colmap": Case(
        f"import colmap IN --out OUT/c --processes 1 --rate 10 {SMALL}", shots("colmap"), "c/walk-1.safetensors"
    ),
    "import-dataset": Case(
        f"import realestate10k IN --out OUT/d --dataset --processes 1 {SMALL}", realestate, "d/videos/observation.image"
    ),
    "render-dataset": Case(
        f"render --out OUT/d --dataset --scenes 1 --clips 2 {DRAWN} 5", nothing, "d/depth/chunk-000/file-000.mkv", "mujoco"
    ),
    "simulate-dataset": Case(
        f"simulate --out OUT/d --dataset --scenes 1 --subset events {DRAWN} 9",
        nothing,
        "d/segments/chunk-000/file-000.mkv",
        "mujoco",
    ),
}
#: Commands that have other processes, and what is waited for: how many files of a name, or that some are at work.
WATCHED: dict[str, tuple[Case, tuple[tuple[str | None, int], ...]]] = {
    "render": (
        Case(f"render --out OUT/c --scenes 2 --clips 2 {DRAWN} 41", nothing, "c/0000001_01.safetensors", "mujoco"),
        (("*.safetensors", 1), ("*.safetensors", 3)),
    ),
    "simulate": (
        Case(
            f"simulate --out OUT/c --scenes 1 --subset first_person third_person events {DRAWN} 17",
            nothing,
            "c/0000000_third_person_00.safetensors",
            "mujoco",
        ),
        (("takes/0*.json", 1), ("*.safetensors", 1)),
    ),
    "doom": (
        Case(
            "doom --out OUT/c --clips 2 --wanted.frames 30 --wanted.width 32 --wanted.height 32",
            nothing,
            "c/doom-0000001.safetensors",
            "vizdoom",
        ),
        ((None, 1), ("*.safetensors", 1)),
    ),
    "import-at-once": (
        Case(f"import realestate10k IN --out OUT/c --processes 2 {SMALL}", realestate, "c/1e1e-2.safetensors"),
        (("*.safetensors", 1), ("records/*.json", 1)),
    ),
}
