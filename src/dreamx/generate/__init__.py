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
from collections.abc import Callable, Iterable, Iterator
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
from dreamx.generate import listed, released_models
from dreamx.generate.action_file import read_actions
from dreamx.generate.bidirectional import Bidirectional
from dreamx.generate.cases import DIALECTS, Settings, dialect_of, read_input
from dreamx.generate.generate_config import GenerateConfig
from dreamx.generate.health import VideoHealth
from dreamx.generate.released_models import chosen
from dreamx.generate.world_walker import Walker
from dreamx.geometry.formats.actions import FRAMES
from dreamx.geometry.path import format_actions
from dreamx.locks import alone
from dreamx.model.prompt import CutWarning
from dreamx.picture import read_picture
from dreamx.play.video import VideoRecording
from dreamx.replay import Replay, play, read, warning
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
        _walk_replay(cfg, read(cfg.replay), console)
    elif cfg.actions is not None:
        _walk_actions(cfg, read_actions(cfg.actions), console)


def _walk_list(cfg: GenerateConfig, path: Path) -> None:
    """Every entry of an ``eval.json``, or what a record says."""
    cases, record = read_input(path)
    name = cfg.world or (record.world if record else "tiny")
    own, why = dialect_of(name)
    settings = _again(cfg, record.settings) if record else _settings(cfg, name, own)
    torch.set_num_threads(settings.threads)
    console = Console(stderr=True, soft_wrap=True)
    reason = "asked for" if cfg.dialect else "from the record" if record else f"of {name}: {why}"
    console.print(f"Dialect {settings.dialect} ({reason}): the numbers {_MEANING[settings.dialect]}.")
    source = _source(name, settings, cfg.offload, console)
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


def _settings(cfg: GenerateConfig, name: str, own: str) -> Settings:
    sampling = None
    if released.is_released(name):
        sampling = chosen(released.read(name).kind, cfg.size, cfg.steps, cfg.guidance, cfg.device)
    elif (cfg.steps, cfg.guidance, cfg.size, cfg.device) != (None,) * 4:
        raise ValueError(f"steps, guidance, size and device: {name} is a world of ours and has its own; leave them out")
    threads = cfg.threads or torch.get_num_threads()
    return Settings(cfg.dialect or own, cfg.frames or FRAMES, cfg.seed, cfg.part, cfg.colour, threads, sampling)


def _again(cfg: GenerateConfig, settings: Settings) -> Settings:
    """As it was recorded, but for the dialect, the length and what the machine has."""
    threads, sampling = cfg.threads or settings.threads, settings.sampling
    if sampling is not None and cfg.device is not None:
        sampling = replace(sampling, device=cfg.device)
    frames, dialect = cfg.frames or settings.frames, cfg.dialect or settings.dialect
    return replace(settings, dialect=dialect, frames=frames, threads=threads, sampling=sampling)


def _source(name: str, settings: Settings, spare: bool, console: Console) -> listed.Source:
    if settings.sampling is None:
        return Walker(World.open(name))
    found, s, latents = released.read(name), settings.sampling, 1 + (settings.frames - 1) // 4
    if found.config.view is None:
        console.print(f"{name} has no camera lane: what moves in its videos is up to the caption, not to the list.")
    if found.kind.past is None:
        return Bidirectional(released_models.build(name, found, s, latents, spare), s, console.print)
    released_models.refuse_too_large(name, found, s, latents, spare)
    return Walker(World.open(name, released.Choice(s.size, s.steps, s.device, spare)))


_MEANING = dict(
    zip(DIALECTS, ("share out the frames, and speed is fixed", "are speeds, and segments are of equal length"), strict=True)
)


def _opened(name: str, cfg: GenerateConfig) -> World:
    choice = released.Choice(cfg.size, cfg.steps, cfg.device, cfg.offload)
    world_must_fit(name, choice)
    return World.open(name, choice)


def _walk_actions(cfg: GenerateConfig, keys: list[str], console: Console) -> None:
    data = _read(cfg.start)
    name = cfg.world or "tiny"
    world = _opened(name, cfg)
    try:
        image, note = (None, "") if data is None else read_picture(data, world.size)
    except ValueError as e:
        raise ValueError(f"start: {cfg.start}: {e}") from None
    if note:
        console.print(note)
    chunks = walk_along(world, image, cfg.prompt, cfg.seed, keys)

    def record(frames: int) -> None:
        said = WalkRecord(
            dreamx=__version__,
            world=name,
            seed=cfg.seed,
            prompt=cfg.prompt,
            start=None if cfg.start is None else cfg.start.name,
            start_sha256=None if data is None else hashlib.sha256(data).hexdigest(),
            fps=world.fps,
            size=world.size,
            frames=frames,
            actions=format_actions(keys),
        )
        atomic.write_text(cfg.out.with_suffix(".json"), json.dumps(asdict(said), indent=1) + "\n")

    _make(cfg.out, chunks, 1 + ceil(len(keys) / world.frames_per_step), world, console, record)


def _walk_replay(cfg: GenerateConfig, replay: Replay, console: Console) -> None:
    name = cfg.world or replay.world
    world = _opened(name, cfg)
    note = warning(replay, world.identity)
    if note:
        console.print(note)
    chunks = play(world, replay, find(name) / "starts")
    _make(cfg.out, chunks, 1 + len(replay.steps), world, console, None)


def _make(
    out: Path, chunks: Iterator[Tensor], count: int, world: World, console: Console, record: Callable[[int], None] | None
) -> None:
    """The video of all chunks, whole or not at all. ``record`` is called with its frames before it gets its name."""
    with alone(out):
        _make_alone(out, chunks, count, world, console, record)


def _make_alone(
    out: Path, chunks: Iterator[Tensor], count: int, world: World, console: Console, record: Callable[[int], None] | None
) -> None:
    part = out.with_suffix(".part.mp4")
    try:
        with _bar(console) as bar:
            frames = write_video(part, bar.track(_say_notes(chunks, world, console), count), world.size, world.fps)
    except KeyboardInterrupt:
        console.print(f"Stopped; what was made so far is in {part}.")
        sys.exit(130)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if record is not None:
        record(frames)
    part.replace(out)
    console.print(f"{out}: {frames} frames, {frames / world.fps:.1f} s at {world.fps:g} fps")


def _say_notes(chunks: Iterator[Tensor], world: World, console: Console) -> Iterator[Tensor]:
    """The same chunks; what the world notes about the words that were said is printed, once."""
    said = ""
    for chunk in chunks:
        if world.note not in ("", said):
            said = world.note
            console.print(said, markup=False, emoji=False)
        yield chunk


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


def _read(start: Path | None) -> bytes | None:
    if start is None:
        return None
    try:
        return start.read_bytes()
    except OSError as e:
        raise ValueError(f"start: {start} cannot be read ({e.strerror}); name a picture file") from None


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("chunks"), TimeRemainingColumn())
    return Progress(*columns, console=console)
