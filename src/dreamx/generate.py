"""Walk offline: a start picture, words, and an action file -> an mp4, and beside it a JSON record to make it again from.

Or a replay file, which holds all of that (``dreamx.replay``), -> an mp4.

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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from os.path import isfile  # unlike Path's, it is calm about names no file can have
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from dreamx.geometry.path import format_actions, parse_actions
from dreamx.picture import read_picture
from dreamx.play.video import VideoFile
from dreamx.replay import Replay, play, read, warning
from dreamx.session import find
from dreamx.world import World


@dataclass(frozen=True)
class GenerateConfig:
    """Make a video from a start picture and an action file, or from a replay file."""

    out: Path
    """The video to write, an .mp4; its record is written beside it with the ending .json (a replay is its own record)."""
    actions: str | None = None
    """An action file (one span a line: KEYS FRAMES), or the actions themselves: "w*16,wj*32,-*8"."""
    replay: Path | None = None
    """A replay file, which the page shares, instead of actions; it brings its own start, prompt and seed."""
    start: Path | None = None
    """The picture to begin from; without it the world begins from the prompt alone."""
    prompt: str = ""
    """What there is to see."""
    seed: int = 0
    """The same seed, picture, prompt and actions make the same video."""
    world: str | None = None
    """Name of a shipped world, or path of a checkpoint; by default that of the replay, or "tiny"."""
    overwrite: bool = False
    """Replace the video if there is one."""
    threads: int | None = None
    """CPU threads of the model; by default what torch chooses."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".mp4":
            raise ValueError(f"out: {self.out} does not end in .mp4; name the video something.mp4")
        if (self.actions is None) == (self.replay is None):
            raise ValueError('give either actions, as "w*16,wj*32", or a replay file')
        if self.replay is not None and (self.start, self.prompt, self.seed) != (None, "", 0):
            raise ValueError("replay: it brings its own start, prompt and seed; leave yours out")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed is {self.seed}; choose 0 to {2**31 - 1}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads is {self.threads}; give at least 1")


@dataclass(frozen=True)
class Record:
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


def read_actions(text: str) -> list[str]:
    """The held keys of every frame, from the action file that is named by ``text`` or from a line of actions itself.

    ValueError in one sentence that names the line, or the span.
    """
    if "*" in text:
        return parse_actions(text)
    path = Path(text)
    if not isfile(path):
        raise ValueError(f'actions: there is no file {text!r}; name one, or give the actions themselves, as "w*16,wj*32"')
    keys: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or "*" in line or "," in line:
            raise ValueError(f"{path}, line {number}: {line.strip()!r} is not KEYS FRAMES; write for example: wj 32")
        try:
            keys += parse_actions("*".join(words))
        except ValueError as e:
            raise ValueError(f"{path}, line {number}: {e}") from None
    if not keys:
        raise ValueError(f"{path}: there are no actions in it; write for example: wj 32")
    return keys


def walk_along(world: World, image: Tensor | None, prompt: str, seed: int, keys: list[str]) -> Iterator[Tensor]:
    """The first frames, then one for each of ``keys``, a chunk at a time: uint8 ``[n, 3, H, W]``.

    The last step may make more frames than are asked for: it is filled up standing still, and cut.
    """
    yield world.reset(image, prompt, seed)
    yield from world.play(keys)


def main(cfg: GenerateConfig) -> None:
    """Write the video and its record; while it is being made it is called ``NAME.part.mp4``, which Ctrl-C leaves playable."""
    if cfg.out.exists() and not cfg.overwrite:
        raise ValueError(f"out: {cfg.out} is there already; name another, or say --overwrite")
    if not cfg.out.parent.is_dir():
        raise ValueError(f"out: there is no folder {cfg.out.parent}; make it first")
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    console = Console(stderr=True)
    if cfg.replay is not None:
        _walk_replay(cfg, read(cfg.replay), console)
    elif cfg.actions is not None:
        _walk_actions(cfg, read_actions(cfg.actions), console)


def _walk_actions(cfg: GenerateConfig, keys: list[str], console: Console) -> None:
    data = _read(cfg.start)
    name = cfg.world or "tiny"
    world = World.open(name)
    image, note = (None, "") if data is None else read_picture(data, world.size)
    if note:
        console.print(note)
    chunks = walk_along(world, image, cfg.prompt, cfg.seed, keys)

    def record(frames: int) -> None:
        said = Record(
            dreamx=_version(),
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
        cfg.out.with_suffix(".json").write_text(json.dumps(asdict(said), indent=1) + "\n", encoding="utf-8")

    _make(cfg.out, chunks, 1 + ceil(len(keys) / world.due), world, console, record)


def _walk_replay(cfg: GenerateConfig, replay: Replay, console: Console) -> None:
    name = cfg.world or replay.world
    world = World.open(name)
    note = warning(replay, world.identity)
    if note:
        console.print(note)
    chunks = play(world, replay, find(name) / "starts")
    _make(cfg.out, chunks, 1 + len(replay.steps), world, console, None)


def _make(
    out: Path, chunks: Iterator[Tensor], count: int, world: World, console: Console, record: Callable[[int], None] | None
) -> None:
    """The video of all chunks, whole or not at all. ``record`` is called with its frames before it gets its name."""
    part = out.with_suffix(".part.mp4")
    try:
        with _bar(console) as bar:
            frames = write_video(part, bar.track(chunks, count), world.size, world.fps)
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


def write_video(path: Path, chunks: Iterable[Tensor], size: tuple[int, int], fps: float) -> int:
    """Encode frames as H.264 and count them. Closed properly even when making a chunk fails, so that the file can be played."""
    file = VideoFile(path, size, fps)
    try:
        for chunk in chunks:
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


def _version() -> str:
    try:
        return version("dreamx")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("chunks"), TimeRemainingColumn())
    return Progress(*columns, console=console)
