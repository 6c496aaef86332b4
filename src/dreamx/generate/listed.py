"""``dreamx generate EVAL.json --out DIR``: every entry of an official list as a video, which a kill does not undo."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

from rich.console import Console
from torch import Tensor

from dreamx import atomic, manifest
from dreamx.config import to_json
from dreamx.generate.bidirectional import Bidirectional
from dreamx.generate.cases import FORMAT, CaseRecord, GenerateCase, Settings
from dreamx.generate.colour import Correction
from dreamx.generate.film import ResumableVideo, differing, length, noted
from dreamx.generate.health import VideoHealth
from dreamx.generate.world_walker import WalkedChunk, Walker, missed
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats import Motion, write
from dreamx.geometry.formats.motion import camera_of, rigid_rows
from dreamx.locks import alone
from dreamx.picture import read_picture
from dreamx.plaintext import read_json
from dreamx.play.written import png, read_png

#: What makes the frames: a session in a world of ours, or a released model.
Source = Walker | Bidirectional


def make(
    case: GenerateCase, settings: Settings, source: Source, name: str, out: Path, resume: bool, overwrite: bool, console: Console
) -> None:
    """One video ``out/NAME.mp4``, its cameras ``NAME.cameras.json`` and its record ``NAME.json``."""
    video = out / f"{case.name}.mp4"
    about = to_json(record(case, settings, source, name))
    film = ResumableVideo(video, source.size, source.fps, {k: v for k, v in about.items() if k != "image_base64"})
    with alone(video):
        if _is_made(film, resume, overwrite, console):
            return
        path = case.path(settings)
        image, note = (None, "") if case.image is None else read_picture(case.image, source.size)
        if note:
            console.print(note)
        if not (resume and film.resume()):
            film.begin()
        elif film.frames < settings.frames:
            source.load(film.session, path)
            console.print(f"{video}: goes on after frame {film.frames - 1}")
        try:
            _walk(film, noted(_chunks(case, settings, source, film.frames, path, image), source, console), settings, source)
        except KeyboardInterrupt:
            film.close()
            console.print(f"Stopped; {film.frames} frames are in {film.folder}, and --resume goes on from there.")
            sys.exit(130)
        except BaseException:
            film.close()
            if not film.parts:  # nothing to go on from
                shutil.rmtree(film.folder, ignore_errors=True)
            raise
        _finish(film, json.dumps(about, indent=1) + "\n", path, source, console)


def _is_made(film: ResumableVideo, resume: bool, overwrite: bool, console: Console) -> bool:
    """Whether nothing is left to do. ValueError where something else is in its place."""
    video = film.out
    if resume and video.exists():
        try:
            theirs = read_json(video.with_suffix(".json"))
        except (OSError, ValueError):
            theirs = {}
        if other := differing(film.about, theirs if isinstance(theirs, dict) else {}):
            raise ValueError(f"out: {video} was made otherwise ({', '.join(other)}); name another folder, or say --overwrite")
        console.print(f"{video}: is there already")
        return True
    for there in () if overwrite or resume else (video, film.folder):
        if there.exists():
            raise ValueError(f"out: {there} is there already; say --resume to go on with what is unfinished, or --overwrite")
    manifest.refuse_other_json(video.with_suffix(".json"), ("format", "world", "weights"))
    manifest.refuse_other_json(video.with_suffix(".cameras.json"), ())
    return False


def _chunks(
    case: GenerateCase, settings: Settings, source: Source, frames: int, path: Camera, image: Tensor | None
) -> Iterator[WalkedChunk]:
    """All chunks after the first ``frames`` frames; the last is cut."""
    while (left := settings.frames - frames) > 0:
        new = source.more(frames) if frames else source.begin(image, case.caption, settings.seed, path)
        yield WalkedChunk(new.frames[:left], new.camera[:left], new.latents)
        frames += len(new.frames)


def _walk(film: ResumableVideo, chunks: Iterator[WalkedChunk], settings: Settings, source: Source) -> None:
    """All frames that are missing. While new ones are made, those before them are encoded."""
    frames, part = film.frames, 0  # made so far, in all and in this part; the film counts them later, in a thread
    picture, pending = film.folder / "opening.png", Future[None]()
    pending.set_result(None)
    if not frames:
        first = next(chunks)
        picture.write_bytes(png(first.frames[0]))
        chunks = chain([first], chunks)
    opening = read_png(picture)
    health = VideoHealth(opening, frames)
    correct = None if settings.colour is None else Correction(opening, settings.colour)
    with ThreadPoolExecutor(1) as encoder:
        for new in chunks:
            health.latents(new.latents)
            health.look(new.frames)
            # The opening picture is what colours are pulled to: it stays.
            shown = new.frames if correct is None or not frames else correct(new.frames)
            frames, part = frames + len(shown), part + len(shown)
            pending.result()
            pending = encoder.submit(film.write, shown, new.camera)
            if part >= settings.part or frames == settings.frames:
                pending.result()
                part = 0
                film.end_part()
                source.save(film.session)
                film.commit()


def _finish(film: ResumableVideo, about: str, path: Camera, source: Source, console: Console) -> None:
    """The video gets its name last: once it has it, everything beside it is there."""
    used = camera_of(rigid_rows(film.poses()), source.lens)
    metres, degrees = missed(path, used)
    notes = (f"the list asks for cameras that are up to {metres:.2f} m and {degrees:.1f} degrees from these",)
    notes = notes if max(metres, degrees) > 0.01 else ()
    joined, cameras = film.join(), film.out.with_suffix(".cameras.json")
    atomic.write_bytes(cameras, write("dreamx", Motion(used, source.fps, notes))[""])
    atomic.write_text(film.out.with_suffix(".json"), about)
    joined.replace(film.out)
    shutil.rmtree(film.folder)
    console.print(length(film.out, film.frames, source.fps))
    for note in notes:
        console.print(f"This world {source.legs}: {note}, see {cameras.name}.")


def record(case: GenerateCase, settings: Settings, source: Source, name: str) -> CaseRecord:
    """Return the record of what the video is made from."""
    return CaseRecord(
        format=FORMAT,
        world=name,
        weights=source.identity,
        settings=settings,
        image_path=case.image_path,
        caption=case.caption,
        action_seq=case.action_seq,
        action_speed_list=case.action_speed_list,
        image_sha256=None if case.image is None else hashlib.sha256(case.image).hexdigest(),
        image_base64=None if case.image is None else base64.b64encode(case.image).decode(),
        fps=source.fps,
        size=source.size,
        sampler=source.sampler,
        versions=versions(),
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
