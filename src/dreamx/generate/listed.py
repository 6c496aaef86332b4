"""``dreamx generate EVAL.json --out DIR``: every entry of an official list as a video, which a kill does not undo."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from torch import Tensor

from dreamx.config import to_json
from dreamx.generate.cases import FORMAT, Case, Record, Settings
from dreamx.generate.colour import Correction
from dreamx.generate.film import Film
from dreamx.generate.follow import controls_to, missed
from dreamx.generate.health import Health
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats import Motion, write
from dreamx.geometry.formats.motion import camera_of, rigid_rows
from dreamx.picture import read_picture
from dreamx.world import World


def make(
    case: Case, settings: Settings, world: World, name: str, out: Path, resume: bool, overwrite: bool, console: Console
) -> None:
    """One video ``out/NAME.mp4``, its cameras ``NAME.cameras.json`` and its record ``NAME.json``."""
    video = out / f"{case.name}.mp4"
    about = record(case, settings, world, name)
    known = {k: v for k, v in to_json(about).items() if k != "image_base64"}
    film = Film(video, world.size, world.fps, known)
    if video.exists() and resume:
        _refuse_other(video, known)
        console.print(f"{video}: is there already")
        return
    if not overwrite and not resume and (video.exists() or film.folder.exists()):
        which = video if video.exists() else film.folder
        raise ValueError(f"out: {which} is there already; say --resume to go on with what is unfinished, or --overwrite")
    path = case.path(settings)
    image, note = (None, "") if case.image is None else read_picture(case.image, world.size)
    if note:
        console.print(note)
    going_on = resume and film.resume()
    if going_on and film.frames < settings.frames:
        world.load(film.session)
        console.print(f"{video}: goes on after frame {film.frames - 1}")
    if not going_on:
        film.begin()
    try:
        _walk(case, settings, world, film, path, image, console)
    except KeyboardInterrupt:
        film.close()
        console.print(f"Stopped; {film.frames} frames are in {film.folder}, and --resume goes on from there.")
        sys.exit(130)
    except BaseException:
        film.close()
        raise
    _finish(film, about, path, world, video, console)


def _walk(case: Case, settings: Settings, world: World, film: Film, path: Camera, image: Tensor | None, console: Console) -> None:
    """All frames that are missing. While a chunk is dreamt, the one before it is encoded."""
    health: Health | None = None
    correct: Correction | None = None
    pending: Future[None] | None = None

    def look(opening: Tensor) -> None:
        nonlocal health, correct
        health = Health(opening)
        correct = None if settings.colour is None else Correction(opening, settings.colour)

    with ThreadPoolExecutor(1) as encoder:
        frames = film.frames
        if frames:
            look(read_picture((film.folder / "opening.png").read_bytes(), world.size)[0])
        else:
            opening = world.reset(image, case.caption, settings.seed)
            look(opening[0])
            Image.fromarray(opening[0].permute(1, 2, 0).contiguous().numpy()).save(film.folder / "opening.png")
            film.write(opening, world.camera.map(lambda x: x[None]))
            frames = 1
        assert health is not None
        while frames < settings.frames:
            due = world.due
            wanted = path[[min(i, len(path) - 1) for i in range(frames, frames + due)]]
            dream = world.dream(controls_to(world.camera, wanted, world.config.upright))
            health.latents(dream.frames.z)
            made = world.show(dream)[: settings.frames - frames]
            world.actions.clear()  # the list of actions says it all; kept for each chunk, they would grow without end
            health.look(made)
            frames += len(made)
            if pending is not None:
                pending.result()
            shown = made if correct is None else correct(made)
            pending = encoder.submit(film.write, shown, dream.path[: len(made)])
            if film.here + len(made) >= settings.part or frames == settings.frames:
                pending.result()
                pending = None
            if pending is None:
                film.end_part()
                world.save(film.session)
                film.commit()


def _finish(film: Film, about: Record, path: Camera, world: World, video: Path, console: Console) -> None:
    """The video gets its name last: once it has it, everything beside it is there."""
    used = camera_of(rigid_rows(film.poses()), world.config.lens)
    metres, degrees = missed(path, used)
    notes = (f"the list asks for cameras that are up to {metres:.2f} m and {degrees:.1f} degrees from these",)
    joined = film.join()
    _put(
        video.with_suffix(".cameras.json"),
        write("dreamx", Motion(used, world.fps, notes if max(metres, degrees) > 0.01 else ()))[""],
    )
    _put(video.with_suffix(".json"), (json.dumps(to_json(about), indent=1) + "\n").encode())
    joined.replace(video)
    for rest in film.folder.iterdir():
        rest.unlink()
    film.folder.rmdir()
    console.print(f"{video}: {film.frames} frames, {film.frames / world.fps:.1f} s at {world.fps:g} fps")
    if max(metres, degrees) > 0.01:
        legs = "walks on level ground and never rolls" if world.config.upright else "turns about two axes at a time"
        console.print(f"This world {legs}: {notes[0]}, see {video.stem}.cameras.json.")


def record(case: Case, settings: Settings, world: World, name: str) -> Record:
    """What the video is made from."""
    image = case.image
    return Record(
        FORMAT,
        name,
        world.identity,
        settings,
        case.image_path,
        case.caption,
        case.action_seq,
        case.action_speed_list,
        None if image is None else hashlib.sha256(image).hexdigest(),
        None if image is None else base64.b64encode(image).decode(),
        world.fps,
        world.size,
        to_json(world.config.sampler),
        versions(),
    )


def versions() -> dict[str, str]:
    """Of what takes part in making the numbers."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("dreamx", "torch", "av"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that was never installed
            found[name] = "unknown"
    return found


def _refuse_other(video: Path, known: dict[str, Any]) -> None:
    """ValueError where a finished video is one of other settings."""
    try:
        theirs = json.loads(video.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        theirs = {}
    other = [k for k in known if theirs.get(k) != known[k]]
    if other:
        raise ValueError(f"out: {video} was made with another {', '.join(other)}; name another folder, or say --overwrite")


def _put(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
