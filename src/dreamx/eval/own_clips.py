"""``dreamx eval clips``: a world in places of your own. It is shown the first picture of each clip and led along its cameras.

What a world that was fine-tuned on some clips of a place makes of others of the same place, beside what it made before. The rows
that must be beaten stand with it: ``hint-copy``, what its memory shows without its transformer, and ``copy-first``.

Where something happens in some clips, those alone are walked, and the world is told when it does, as in training. Beside it stand
``mute``, the same world to which nobody says a word of it, and ``twin``, the true pictures in which nothing happens (where each
clip has one).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import atan, degrees
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dreamx import atomic
from dreamx.bounds import FrameCount, InputFolder, OutputFolder, PositiveInt, Seed
from dreamx.clip import Clip
from dreamx.data.clip_list import ListedClip, shots, twin_of
from dreamx.eval import folders
from dreamx.eval.hint_copy import hint_copy
from dreamx.eval.metrics.psnr import psnr, sharpness
from dreamx.eval.progress import Progressing
from dreamx.events import Story, going_on, prompt, told
from dreamx.geometry.camera import Camera, relative_to
from dreamx.standpoint import Standpoint
from dreamx.world import World

_LENS = 0.02  # relative: a lens that differs by more sees another picture


@dataclass(frozen=True)
class ClipsConfig:
    """Score a world on clips of your own, which it was not trained on."""

    clips: InputFolder
    """Folder of clips, or a dataset; of the size and lens that the world plays in."""
    world: str = "tiny"
    """The name of a shipped world, or the folder of one."""
    most: PositiveInt = 16
    """Clips at most, evenly from all."""
    frames: FrameCount = 81
    """Frames of each, at most."""
    seed: Seed = 0
    """Of what is dreamt."""
    out: OutputFolder = Path("runs/eval/clips")
    """The folder that gets clips.json."""


def main(cfg: ClipsConfig) -> None:
    """Walk every clip, print a table and write ``clips.json``. ValueError: a clip does not fit the world."""
    every = shots(cfg.clips)
    happens = [shot for shot in every if _happens(shot.load())]
    every = happens or every
    some = every if len(every) <= cfg.most else [every[i * len(every) // cfg.most] for i in range(cfg.most)]
    world = World.open(cfg.world)
    for shot in some:
        refuse(shot, world)
    folders.claim(cfg.out, "clips", folders.CLIPS)
    world.taught = world.taught and replace(world.taught, happenings=())  # so that words are told as they are
    rows = {"ours": world} | ({"mute": world} if happens else {})
    rows |= {} if world.config.memory is None else {"hint-copy": hint_copy(world)}
    twins = [_twin(shot) for shot in some] if happens else [None]
    found: dict[str, list[dict[str, float]]] = {
        name: [] for name in (*rows, "copy-first", *(["twin"] if None not in twins else []))
    }
    done = 0
    with Progressing("walking", len(some), lambda: (done, "")):
        for shot in some:
            clip = shot.load()
            truth = clip.video[: cfg.frames]
            videos = {name: led_along(one, clip, len(truth), cfg.seed, name == "ours") for name, one in rows.items()}
            videos["copy-first"] = truth[:1].expand_as(truth)
            if "twin" in found and (twin := _twin(shot)):
                videos["twin"] = Clip.load(twin).video[: cfg.frames]
            for name, video in videos.items():
                found[name].append(scores(video, truth, clip.fps, told_frames(clip, len(truth))))
            done += 1
    table = {name: _means(each) for name, each in found.items()}
    each = [{"clip": str(shot)} | {name: found[name][i] for name in found} for i, shot in enumerate(some)]
    report = {"world": cfg.world, "clips": len(some), "frames": cfg.frames, "seed": cfg.seed, "rows": table, "each": each}
    atomic.write_text(cfg.out / "clips.json", json.dumps(report, indent=2) + "\n")
    show(table, f"{cfg.world} on {len(some)} clips of {cfg.clips}, without their first frame; {cfg.out / 'clips.json'}")


def refuse(shot: ListedClip, world: World) -> None:
    """ValueError, one sentence, where a clip has another size or lens than the world, or shows too little."""
    clip = shot.load()
    size, lens = tuple(clip.video.shape[-2:]), clip.camera.lens[0]
    if size != world.size:
        ours = f"{world.size[1]}x{world.size[0]}"
        raise ValueError(f"clips: {shot} is {size[1]}x{size[0]}, and this world makes {ours}; make clips of that size")
    if bool(((lens - world.camera.lens).abs() > _LENS * world.camera.lens).any()):
        fov = degrees(2 * atan(0.5 / float(lens[1])))
        raise ValueError(
            f"clips: {shot} was seen through the lens {_said(lens)}, and this world has {_said(world.camera.lens)}; "
            f"assemble one that has it: dreamx world assemble --fov {fov:.1f}"
        )
    if len(clip.video) < 2:
        raise ValueError(f"clips: {shot} has one frame; a walk has 2 or more")


def led_along(world: World, clip: Clip, frames: int, seed: int, told: bool = True) -> Tensor:
    """The world's own video along the cameras of a clip, from its first picture: uint8 ``[frames, 3, H, W]``.

    told: in each chunk it is told what goes on in those frames of the clip, if anything ever does.
    """
    story = clip.story if _happens(clip) else None
    caption = clip.caption if story is None else prompt(Story(story.scene), clip.style)
    at = Standpoint(clip.scene, clip.camera.pose[0].float())  # used where the world knows that place by heart
    path = relative_to(clip.camera.to(dtype=torch.float64), clip.camera[0].to(dtype=torch.float64)).to(dtype=torch.float32)

    def along(start: int, count: int) -> Camera:
        return path[[min(i, frames - 1) for i in range(start, start + count)]]  # beyond the end it stands still

    first = along(0, 1 + world.vae.config.group * (world.config.sampler.chunk - 1))
    shown = [world.reset(clip.video[0], caption, seed, at, None if world.config.past is None else first)]
    while (done := sum(map(len, shown))) < frames:
        due = world.frames_per_step
        shown.append(world.decode(world.follow(along(done, due), words_for(clip, done, done + due) if told else "")))
    return torch.cat(shown)[:frames]


def words_for(clip: Clip, start: int, end: int) -> str:
    """Return what is told of a clip while frames ``start`` to ``end`` are made, as in training; ``""`` where nothing goes on."""
    events = () if clip.story is None else clip.story.events
    return told(going_on(events, (start - 1) / clip.fps, (end - 1) / clip.fps))


def told_frames(clip: Clip, frames: int) -> Tensor:
    """Tell in which of the first frames of a clip something goes on: bool ``[frames]``."""
    return torch.tensor([bool(words_for(clip, i, i + 1)) for i in range(frames)])


def scores(video: Tensor, truth: Tensor, fps: float, told: Tensor | None = None) -> dict[str, float]:
    """PSNR of all frames but the first, of the last second alone, of the frames ``told``, where there are any, and sharpness."""
    db = psnr(video[1:], truth[1:])
    sharp = sharpness(video[1:], truth[1:])
    about = {} if told is None or not told[1:].any() else {"psnr_told": float(db[told[1:]].mean())}
    return {"psnr": float(db.mean()), "psnr_end": float(db[-round(fps) :].mean()), "sharpness": float(sharp.mean())} | about


def show(table: dict[str, dict[str, float]], title: str) -> None:
    """Print the rows, for people."""
    said = Table(title=title, title_justify="left")
    happens = any("psnr_told" in row for row in table.values())
    for name in ("", "PSNR, dB", *(["while something happens"] if happens else []), "in the last second", "sharpness"):
        said.add_column(name, justify="right" if name else "left")
    for name, row in table.items():
        about = [f"{row['psnr_told']:.2f}"] if happens else []
        said.add_row(name, f"{row['psnr']:.2f}", *about, f"{row['psnr_end']:.2f}", f"{row['sharpness']:.2f}")
    Console(soft_wrap=True).print(said)


def _means(each: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the clips that have it."""
    names = dict.fromkeys(k for row in each for k in row)
    return {k: round(fmean(row[k] for row in each if k in row), 3) for k in names}


def _happens(clip: Clip) -> bool:
    return clip.story is not None and bool(clip.story.events)


def _twin(shot: ListedClip) -> Path | None:
    """The file of the same clip in which nothing happens; None where it is not there."""
    twin = twin_of(shot.place) if shot.number is None else None
    return twin if twin is not None and twin.is_file() else None


def _said(lens: Tensor) -> str:
    return "(" + ", ".join(f"{x:.3f}" for x in lens.tolist()) + ")"
