"""``dreamx generate EVAL.json --out DIR``: every entry of an official list as a video, which a kill does not undo."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from torch import Tensor

from dreamx import atomic, manifest
from dreamx.config import to_json
from dreamx.generate.bidirectional import Bidirectional
from dreamx.generate.cases import FORMAT, CaseRecord, GenerateCase, Settings
from dreamx.generate.colour import Correction
from dreamx.generate.film import ResumableVideo, differing
from dreamx.generate.follow_path import missed
from dreamx.generate.health import VideoHealth
from dreamx.generate.world_walker import WalkedChunk, Walker
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats import Motion, write
from dreamx.geometry.formats.motion import camera_of, rigid_rows
from dreamx.locks import alone
from dreamx.picture import read_picture
from dreamx.plaintext import read_json

#: What makes the frames: a session in a world of ours, or a released model.
Source = Walker | Bidirectional


def make(
    case: GenerateCase, settings: Settings, source: Source, name: str, out: Path, resume: bool, overwrite: bool, console: Console
) -> None:
    """One video ``out/NAME.mp4``, its cameras ``NAME.cameras.json`` and its record ``NAME.json``."""
    with alone(out / f"{case.name}.mp4"):
        _make_alone(case, settings, source, name, out, resume, overwrite, console)


def _make_alone(
    case: GenerateCase, settings: Settings, source: Source, name: str, out: Path, resume: bool, overwrite: bool, console: Console
) -> None:
    video = out / f"{case.name}.mp4"
    about = record(case, settings, source, name)
    known = {k: v for k, v in to_json(about).items() if k != "image_base64"}
    film = ResumableVideo(video, source.size, source.fps, known)
    if video.exists() and resume:
        _refuse_other(video, known)
        console.print(f"{video}: is there already")
        return
    if not overwrite and not resume and (video.exists() or film.folder.exists()):
        which = video if video.exists() else film.folder
        raise ValueError(f"out: {which} is there already; say --resume to go on with what is unfinished, or --overwrite")
    manifest.refuse_other_json(video.with_suffix(".json"), ("format", "world", "weights"))
    manifest.refuse_other_json(video.with_suffix(".cameras.json"), ())
    path = case.path(settings)
    image, note = (None, "") if case.image is None else read_picture(case.image, source.size)
    if note:
        console.print(note)
    going_on = resume and film.resume()
    if going_on and film.frames < settings.frames:
        source.load(film.session, path)
        console.print(f"{video}: goes on after frame {film.frames - 1}")
    if not going_on:
        film.begin()
    try:
        _walk(case, settings, source, film, path, image, console)
    except KeyboardInterrupt:
        film.close()
        console.print(f"Stopped; {film.frames} frames are in {film.folder}, and --resume goes on from there.")
        sys.exit(130)
    except BaseException:
        film.close()
        if not film.parts:  # nothing to go on from
            shutil.rmtree(film.folder, ignore_errors=True)
        raise
    _finish(film, about, path, source, video, console)


def _walk(
    case: GenerateCase,
    settings: Settings,
    source: Source,
    film: ResumableVideo,
    path: Camera,
    image: Tensor | None,
    console: Console,
) -> None:
    """All frames that are missing. While new ones are made, those before them are encoded."""
    health: VideoHealth | None = None
    correct: Correction | None = None
    pending: Future[None] | None = None
    frames, part = film.frames, 0  # made so far, in all and in this part; the film counts them later, in a thread

    def look(opening: Tensor) -> VideoHealth:
        nonlocal correct
        correct = None if settings.colour is None else Correction(opening, settings.colour)
        return VideoHealth(opening, frames)

    with ThreadPoolExecutor(1) as encoder:
        if frames:
            health = look(read_picture((film.folder / "opening.png").read_bytes(), source.size)[0])
        while frames < settings.frames:
            new = source.more(frames) if frames else source.begin(image, case.caption, settings.seed, path)
            if health is None:
                if source.note:
                    console.print(source.note, markup=False, emoji=False)
                health = look(new.frames[0])
                _keep_opening(film, new.frames[0])
            health.latents(new.latents)
            made = WalkedChunk(new.frames[: settings.frames - frames], new.camera[: settings.frames - frames], new.latents)
            health.look(made.frames)
            # The opening picture is what colours are pulled to: it stays.
            shown = made.frames if correct is None or not frames else correct(made.frames)
            frames, part = frames + len(shown), part + len(shown)
            if pending is not None:
                pending.result()
            pending = encoder.submit(film.write, shown, made.camera)
            if part >= settings.part or frames == settings.frames:
                pending.result()
                pending, part = None, 0
                film.end_part()
                source.save(film.session)
                film.commit()


def _keep_opening(film: ResumableVideo, opening: Tensor) -> None:
    Image.fromarray(opening.permute(1, 2, 0).contiguous().numpy()).save(film.folder / "opening.png")


def _finish(film: ResumableVideo, about: CaseRecord, path: Camera, source: Source, video: Path, console: Console) -> None:
    """The video gets its name last: once it has it, everything beside it is there."""
    used = camera_of(rigid_rows(film.poses()), source.lens)
    metres, degrees = missed(path, used)
    notes = (f"the list asks for cameras that are up to {metres:.2f} m and {degrees:.1f} degrees from these",)
    joined = film.join()
    _put(
        video.with_suffix(".cameras.json"),
        write("dreamx", Motion(used, source.fps, notes if max(metres, degrees) > 0.01 else ()))[""],
    )
    _put(video.with_suffix(".json"), (json.dumps(to_json(about), indent=1) + "\n").encode())
    joined.replace(video)
    for rest in film.folder.iterdir():
        rest.unlink()
    film.folder.rmdir()
    console.print(f"{video}: {film.frames} frames, {film.frames / source.fps:.1f} s at {source.fps:g} fps")
    if max(metres, degrees) > 0.01:
        console.print(f"This world {source.legs}: {notes[0]}, see {video.stem}.cameras.json.")


def record(case: GenerateCase, settings: Settings, source: Source, name: str) -> CaseRecord:
    """Return the record of what the video is made from."""
    image = case.image
    return CaseRecord(
        FORMAT,
        name,
        source.identity,
        settings,
        case.image_path,
        case.caption,
        case.action_seq,
        case.action_speed_list,
        None if image is None else hashlib.sha256(image).hexdigest(),
        None if image is None else base64.b64encode(image).decode(),
        source.fps,
        source.size,
        source.sampler,
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
        theirs = read_json(video.with_suffix(".json"))
    except (OSError, ValueError):
        theirs = {}
    other = differing(known, theirs)
    if other:
        raise ValueError(f"out: {video} was made otherwise ({', '.join(other)}); name another folder, or say --overwrite")


def _put(path: Path, data: bytes) -> None:
    with atomic.whole(path) as temporary:
        temporary.write_bytes(data)
