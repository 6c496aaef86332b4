"""Walk offline: a start picture, words, and an action file -> an mp4, and beside it a JSON record to make it again from.

Or a replay file, which holds all of that (``dreamx.replay``), -> an mp4. Or an official ``eval.json`` -> a folder of videos
(``film``), each with its cameras and a record.

An action file has one span a line, ``KEYS FRAMES``: the keys held and for how many frames; ``-`` holds none; after ``#``
everything is a comment. The same in one line is ``"w*16,wj*32,-*8"``.

    w   32      # two seconds forward at 16 frames per second
    wj  48      # forward, turning left
    -   16      # stand still

A timeline (``event_timeline``) says besides what is to happen when.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from dreamx import atomic, manifest, released
from dreamx.budget.fit import world_must_fit
from dreamx.checkpoints.transformer import Checkpoint
from dreamx.devices import device_of
from dreamx.event_timeline import EventTimeline, read_timeline
from dreamx.generate import film, sources
from dreamx.generate.cases import DIALECTS, Settings, dialect_of, read_actions, read_input
from dreamx.generate.generate_config import GenerateConfig
from dreamx.generate.health import VideoHealth
from dreamx.generate.sources import Bidirectional, Walker
from dreamx.geometry.formats.actions import FRAMES
from dreamx.geometry.path import format_actions
from dreamx.locks import alone
from dreamx.model.prompt import CutWarning
from dreamx.picture import read_picture
from dreamx.plaintext import cause, named
from dreamx.play.video import VideoRecording
from dreamx.released import Choice
from dreamx.replay import play, read, warning
from dreamx.session import find
from dreamx.version import __version__
from dreamx.world import World


def walk_along(
    world: World, image: Tensor | None, prompt: str, seed: int, keys: list[str], timeline: EventTimeline | None = None
) -> Iterator[Tensor]:
    """The first frames, then one for each of ``keys``, a chunk at a time, of which the last is cut: uint8 ``[n, 3, H, W]``.

    timeline: what is said on the way.
    """
    opening = world.reset(image, prompt, seed)
    yield opening
    said = () if timeline is None else timeline.chunks(len(opening), lambda: world.frames_per_step, world.fps)
    yield from world.play(keys, said)


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
    (own, why), threads = dialect_of(name), torch.get_num_threads()
    found = released.read(name) if released.is_released(name) else None
    if found is None:
        cfg.choice.refuse(name)
    sampling = sources.chosen(None if found is None else found.kind, cfg.choice, cfg.guidance)
    settings = record.settings if record else Settings(own, FRAMES, cfg.seed, cfg.part, cfg.colour, threads, sampling)
    # As it was recorded, but for the dialect, the length and what the machine has.
    said = {"dialect": cfg.dialect, "frames": cfg.frames, "threads": cfg.threads}
    settings = replace(settings, **{k: x for k, x in said.items() if x is not None})
    if settings.sampling is not None and cfg.choice.device is not None:
        settings = replace(settings, sampling=replace(settings.sampling, device=cfg.choice.device))
    torch.set_num_threads(settings.threads)
    console = Console(stderr=True, soft_wrap=True)
    reason = "asked for" if cfg.dialect else "from the record" if record else f"of {name}: {why}"
    console.print(f"Dialect {settings.dialect} ({reason}): the numbers {DIALECTS[settings.dialect][1]}.")
    source = _source(name, found, settings, cfg.choice, console)
    if record is not None and record.weights != source.identity:
        console.print("The record was made in other weights, so the video will look different.")
    for case in cases:
        film.make(case, settings, source, name, cfg, console)


def _source(name: str, found: Checkpoint | None, settings: Settings, choice: Choice, console: Console) -> Walker | Bidirectional:
    s = settings.sampling
    if found is None or s is None:
        return Walker(_opened(name, choice))
    if found.config.view is None:
        console.print(f"{name} has no camera lane: what moves in its videos is up to the caption, not to the list.")
    choice = Choice(s.size, s.steps, s.device, choice.offload, choice.decoder)
    if found.kind.past is None:
        world_must_fit(name, choice, 1 + (settings.frames - 1) // 4)
        nets = released.build(name, found, s.size, device_of(s.device), choice.offload, choice.decoder)
        return Bidirectional(nets, s, console.print)
    return Walker(_opened(name, choice))


def _opened(name: str, choice: Choice) -> World:
    world_must_fit(name, choice)
    return World.open(name, choice)


def _walk_actions(cfg: GenerateConfig, keys: list[str], console: Console) -> None:
    timeline = None if cfg.timeline is None else read_timeline(cfg.timeline)
    manifest.refuse_other_json(cfg.out.with_suffix(".json"), ("dreamx", "world", "actions"))
    try:
        data = None if cfg.start is None else cfg.start.read_bytes()
    except OSError as e:
        raise ValueError(f"start: {cfg.start} cannot be read ({cause(e)}); name a picture file") from None
    name = cfg.world or "tiny"
    world = _opened(name, cfg.choice)
    with named(f"start: {cfg.start}"):
        image, note = (None, "") if data is None else read_picture(data, world.size)
    if note:
        console.print(note)
    record: dict[str, object] = {"dreamx": __version__, "world": name, "seed": cfg.seed, "prompt": cfg.prompt}
    record["start"] = None if cfg.start is None else cfg.start.name
    record["start_sha256"] = None if data is None else hashlib.sha256(data).hexdigest()
    record |= {"fps": world.fps, "size": world.size, "frames": 0, "actions": format_actions(keys)}
    record |= {} if timeline is None else {"timeline": timeline.entries}
    chunks = walk_along(world, image, cfg.prompt, cfg.seed, keys, timeline)
    _make(cfg.out, chunks, 1 + ceil(len(keys) / world.frames_per_step), world, console, record)


def _walk_replay(cfg: GenerateConfig, file: Path, console: Console) -> None:
    replay, timeline = read(file), None if cfg.timeline is None else read_timeline(cfg.timeline)
    name = cfg.world or replay.world
    world = _opened(name, cfg.choice)
    if note := warning(replay, world.identity):
        console.print(note)
    _make(cfg.out, play(world, replay, find(name) / "starts", timeline), 1 + len(replay.steps), world, console, None)


def _make(
    out: Path, chunks: Iterator[Tensor], count: int, world: World, console: Console, record: dict[str, object] | None
) -> None:
    """The video of all chunks, whole or not at all, and its record, if it has one."""
    part = out.with_suffix(".part.mp4")
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("chunks"), TimeRemainingColumn())
    with alone(out):
        try:
            with Progress(*columns, console=console) as bar:
                frames = write_video(part, bar.track(film.noted(chunks, world, console), count), world.size, world.fps)
        except KeyboardInterrupt:
            console.print(f"Stopped; what was made so far is in {part}.")
            sys.exit(130)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if record is not None:
            atomic.write_text(out.with_suffix(".json"), json.dumps(record | {"frames": frames}, indent=1) + "\n")
        part.replace(out)
    console.print(f"{out}: {frames} frames, {frames / world.fps:.1f} s at {world.fps:g} fps")


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
