"""Walk offline: a start picture, words, and an action file -> an mp4, and beside it a JSON record to make it again from.

Or a replay file, which holds all of that (``dreamx.replay``), -> an mp4. Or an official ``eval.json`` -> a folder of videos
(``listed``), each with its cameras and a record.

An action file has one span a line, ``KEYS FRAMES``: the keys held and for how many frames; ``-`` holds none; after ``#``
everything is a comment. The same in one line is ``"w*16,wj*32,-*8"``.

    w   32      # two seconds forward at 16 frames per second
    wj  48      # forward, turning left
    -   16      # stand still
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from dreamx import atomic, manifest, released
from dreamx.budget.fit import world_must_fit
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.generate import listed, released_models
from dreamx.generate.action_file import read_actions
from dreamx.generate.bidirectional import Bidirectional
from dreamx.generate.cases import DIALECTS, Settings, dialect_of, read_input
from dreamx.generate.film import length, noted
from dreamx.generate.generate_config import GenerateConfig
from dreamx.generate.health import VideoHealth
from dreamx.generate.world_walker import Walker
from dreamx.geometry.formats.actions import FRAMES
from dreamx.geometry.path import format_actions
from dreamx.locks import alone
from dreamx.model.prompt import CutWarning
from dreamx.picture import read_picture
from dreamx.plaintext import cause
from dreamx.play.video import VideoRecording
from dreamx.released import Choice
from dreamx.replay import play, read, warning
from dreamx.session import find
from dreamx.version import __version__
from dreamx.world import World


@dataclass(frozen=True)
class WalkRecord:
    """All that is needed to make a video again. ``start_sha256`` is that of the picture's file; ``actions`` is one line."""

    dreamx: str
    world: str
    seed: int
    prompt: str
    start: str | None
    start_sha256: str | None
    fps: float
    size: tuple[int, int]
    frames: int
    actions: str


def walk_along(world: World, image: Tensor | None, prompt: str, seed: int, keys: list[str]) -> Iterator[Tensor]:
    """The first frames, then one for each of ``keys``, a chunk at a time: uint8 ``[n, 3, H, W]``.

    The last step may make more frames than are asked for: it is filled up standing still, and cut.
    """
    yield world.reset(image, prompt, seed)
    yield from world.play(keys)


def main(cfg: GenerateConfig) -> None:
    """Write the video and its record; while it is being made it is called ``NAME.part.mp4``, which Ctrl-C leaves playable."""
    warnings.simplefilter("ignore", CutWarning)  # it is printed as a note
    if cfg.input is not None:
        _walk_list(cfg, cfg.input)
        return
    if cfg.out.exists() and not cfg.overwrite:
        raise ValueError(f"out: {cfg.out} is there already; name another, or say --overwrite")
    if not cfg.out.parent.is_dir():
        raise ValueError(f"out: there is no folder {cfg.out.parent}; make it first")
    if cfg.actions is not None:
        manifest.refuse_other_json(cfg.out.with_suffix(".json"), ("dreamx", "world", "actions"))
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    console = Console(stderr=True)
    if cfg.replay is not None:
        _walk_replay(cfg, cfg.replay, console)
    elif cfg.actions is not None:
        _walk_actions(cfg, read_actions(cfg.actions), console)


def _walk_list(cfg: GenerateConfig, path: Path) -> None:
    """Every entry of an ``eval.json``, or what a record says."""
    cases, record = read_input(path)
    name = cfg.world or (record.world if record else "tiny")
    own, why = dialect_of(name)
    found = released.read(name) if released.is_released(name) else None
    settings = record.settings if record else _settings(cfg, name, own, found)
    # As it was recorded, but for the dialect, the length and what the machine has.
    said = {"dialect": cfg.dialect, "frames": cfg.frames, "threads": cfg.threads}
    settings = replace(settings, **{k: x for k, x in said.items() if x is not None})
    if settings.sampling is not None and cfg.choice.device is not None:
        settings = replace(settings, sampling=replace(settings.sampling, device=cfg.choice.device))
    torch.set_num_threads(settings.threads)
    console = Console(stderr=True, soft_wrap=True)
    reason = "asked for" if cfg.dialect else "from the record" if record else f"of {name}: {why}"
    console.print(f"Dialect {settings.dialect} ({reason}): the numbers {DIALECTS[settings.dialect][1]}.")
    source = _source(name, found, settings, cfg.choice.offload, console)
    if record is not None and record.weights != source.identity:
        console.print("The record was made in other weights, so the video will look different.")
    cfg.out.mkdir(parents=True, exist_ok=True)
    try:
        for case in cases:
            listed.make(case, settings, source, name, cfg.out, cfg.resume, cfg.overwrite, console)
    except ValueError:
        with suppress(OSError):  # it stays where there is something in it
            cfg.out.rmdir()
        raise


def _settings(cfg: GenerateConfig, name: str, dialect: str, found: Checkpoint | None) -> Settings:
    if found is None:
        cfg.choice.refuse(name)
        if cfg.guidance is not None:
            raise ValueError(f"guidance: {name} is a world of ours and has none; leave it out")
    sampling = None if found is None else released_models.chosen(found.kind, cfg.choice, cfg.guidance)
    return Settings(dialect, FRAMES, cfg.seed, cfg.part, cfg.colour, torch.get_num_threads(), sampling)


def _source(name: str, found: Checkpoint | None, settings: Settings, spare: bool, console: Console) -> listed.Source:
    s = settings.sampling
    if found is not None and found.config.view is None:
        console.print(f"{name} has no camera lane: what moves in its videos is up to the caption, not to the list.")
    if found is not None and found.kind.past is None and s is not None:
        nets = released_models.build(name, found, s, 1 + (settings.frames - 1) // 4, spare)
        return Bidirectional(nets, s, console.print)
    return Walker(_opened(name, released.AS_IT_IS if s is None else Choice(s.size, s.steps, s.device, spare)))


def _opened(name: str, choice: Choice) -> World:
    world_must_fit(name, choice)
    return World.open(name, choice)


def _walk_actions(cfg: GenerateConfig, keys: list[str], console: Console) -> None:
    try:
        data = None if cfg.start is None else cfg.start.read_bytes()
    except OSError as e:
        raise ValueError(f"start: {cfg.start} cannot be read ({cause(e)}); name a picture file") from None
    name = cfg.world or "tiny"
    world = _opened(name, cfg.choice)
    try:
        image, note = (None, "") if data is None else read_picture(data, world.size)
    except ValueError as e:
        raise ValueError(f"start: {cfg.start}: {e}") from None
    if note:
        console.print(note)
    start, digest = None if cfg.start is None else cfg.start.name, None if data is None else hashlib.sha256(data).hexdigest()
    line = format_actions(keys)
    record = WalkRecord(__version__, name, cfg.seed, cfg.prompt, start, digest, world.fps, world.size, 0, line)
    chunks = walk_along(world, image, cfg.prompt, cfg.seed, keys)
    _make(cfg.out, chunks, 1 + ceil(len(keys) / world.frames_per_step), world, console, record)


def _walk_replay(cfg: GenerateConfig, file: Path, console: Console) -> None:
    replay = read(file)
    name = cfg.world or replay.world
    world = _opened(name, cfg.choice)
    if note := warning(replay, world.identity):
        console.print(note)
    _make(cfg.out, play(world, replay, find(name) / "starts"), 1 + len(replay.steps), world, console, None)


def _make(out: Path, chunks: Iterator[Tensor], count: int, world: World, console: Console, record: WalkRecord | None) -> None:
    """The video of all chunks, whole or not at all, and its record, if it has one."""
    part = out.with_suffix(".part.mp4")
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("chunks"), TimeRemainingColumn())
    with alone(out):
        try:
            with Progress(*columns, console=console) as bar:
                frames = write_video(part, bar.track(noted(chunks, world, console), count), world.size, world.fps)
        except KeyboardInterrupt:
            console.print(f"Stopped; what was made so far is in {part}.")
            sys.exit(130)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if record is not None:
            said = asdict(replace(record, frames=frames))
            atomic.write_text(out.with_suffix(".json"), json.dumps(said, indent=1) + "\n")
        part.replace(out)
    console.print(length(out, frames, world.fps))


def write_video(path: Path, chunks: Iterable[Tensor], size: tuple[int, int], fps: float) -> int:
    """Encode frames as H.264 and count them. Closed properly even when making a chunk fails, so that the file can be played."""
    file = VideoRecording(path, size, fps)
    health: VideoHealth | None = None
    try:
        for chunk in chunks:
            health = health or VideoHealth(chunk[0])
            health.look(chunk)
            file.write(chunk)
    finally:
        file.close()
    return file.frames
