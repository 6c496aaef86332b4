"""Videos of an official list, which a kill does not undo: each is made in parts, and together they are the video.

In ``NAME.part/`` lie ``0000.mp4``, ``0001.mp4``, ..., each a whole file, the session as it was after the last of them, and
``progress.json``, which is written last and says what counts. Whatever else lies there was being written when it ended.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import av
import torch
from rich.console import Console
from torch import Tensor

from dreamx import atomic, manifest
from dreamx.checkpoints.weight_files import read_json as read_record
from dreamx.config import to_json
from dreamx.generate.cases import GenerateCase, Settings
from dreamx.generate.generate_config import GenerateConfig
from dreamx.generate.health import Correction, VideoHealth
from dreamx.generate.sources import Bidirectional, WalkedChunk, Walker, missed
from dreamx.geometry.camera import Camera
from dreamx.geometry.formats import Motion, write
from dreamx.geometry.formats.motion import camera_of, rigid_rows
from dreamx.locks import alone
from dreamx.picture import read_picture
from dreamx.plaintext import read_json
from dreamx.play.snapshot_files import png, read_png
from dreamx.play.video import VideoRecording
from dreamx.world import World

T = TypeVar("T")


class ResumableVideo:
    """Writes one video, ``out``, in parts. ``about`` is what decides about its frames: a film goes on under the same alone.

    poses: the upper 3x4 of every camera, row by row: ``[n, 12]`` a piece.
    """

    def __init__(self, out: Path, size: tuple[int, int], fps: float, about: dict[str, Any]) -> None:
        self.out, self.about, self.folder = out, about, out.with_suffix(".part")
        self.parts, self.frames, self.poses = 0, 0, list[Tensor]()
        self._size, self._fps = size, fps
        self._file: VideoRecording | None = None

    @property
    def session(self) -> Path:
        """The session after the last whole part."""
        return self.folder / f"{self.parts - 1:04d}.session"

    def begin(self) -> None:
        """Begin anew; what a film left there is thrown away. ValueError where anything else lies there."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if not re.fullmatch(r"(\d{4}\.(mp4|json|session)|progress\.json)((\.\d+)?\.tmp)?|opening\.png", path.name):
                raise ValueError(f"out: {self.folder} holds {path.name}, which is of no film; move it away or give another name")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def resume(self) -> bool:
        """Go on after the last whole part; False where there is none. ValueError where it is another video's."""
        try:
            said = read_json(self.folder / "progress.json")
            theirs, parts, frames = dict(said["about"]), int(said["parts"]), int(said["frames"])
            poses = torch.tensor(said["poses"], dtype=torch.float64).view(frames, 12)
        except (OSError, ValueError, LookupError, TypeError, OverflowError, RuntimeError):
            return False
        if not (0 < parts <= len(list(self.folder.glob("*.mp4"))) and frames > 0):
            return False  # it says what is not there
        if other := differing(self.about, theirs):
            raise ValueError(f"{self.folder} was begun otherwise ({', '.join(other)}); resume it so, or say --overwrite")
        self.parts, self.frames, self.poses = parts, frames, [poses]
        return True

    def write(self, frames: Tensor, cameras: Camera) -> None:
        """Frames, uint8 ``[n, 3, H, W]``, and the cameras that they were seen from."""
        if self._file is None:
            self._file = VideoRecording(self.folder / f"{self.parts:04d}.mp4", self._size, self._fps)
        self._file.write(frames)
        self.poses.append(cameras.pose[:, :3].flatten(1).double())

    def commit(self, save: Callable[[Path], None]) -> None:
        """This part is whole; once ``save`` has written the session, all parts so far count."""
        assert self._file is not None
        self._file.close()
        self.parts, self.frames, self._file = self.parts + 1, self.frames + self._file.frames, None
        save(self.session)
        poses = torch.cat(self.poses).tolist()
        said = {"parts": self.parts, "frames": self.frames, "about": self.about, "poses": poses}
        atomic.write_json(self.folder / "progress.json", said, None)
        for old in self.folder.glob("*.session"):
            if old != self.session:
                old.unlink()

    def join(self) -> Path:
        """All parts as one file beside ``out``, still under another name: their packets one after the other, as they are."""
        part, start, stream = self.out.with_suffix(".joined.mp4"), 0, None
        with av.open(str(part), "w", format="mp4") as joined:
            for i in range(self.parts):
                with av.open(str(self.folder / f"{i:04d}.mp4")) as file:
                    source, end = file.streams.video[0], start
                    stream = stream or joined.add_stream_from_template(source)
                    for packet in file.demux(source):
                        if packet.pts is not None and packet.dts is not None:
                            end = max(end, start + packet.pts + (packet.duration or 0))
                            packet.pts, packet.dts, packet.stream = packet.pts + start, packet.dts + start, stream
                            joined.mux(packet)
                    start = end
        return part

    def close(self) -> None:
        """Let go of the part that is being written; it does not count."""
        if self._file is not None:
            self._file.close()
            self._file = None


def make(
    case: GenerateCase, settings: Settings, source: Walker | Bidirectional, name: str, cfg: GenerateConfig, console: Console
) -> None:
    """One video ``cfg.out/NAME.mp4``, its cameras ``NAME.cameras.json`` and its record ``NAME.json``."""
    video, about = cfg.out / f"{case.name}.mp4", to_json(case.record(settings, source, name))
    film = ResumableVideo(video, source.size, source.fps, {k: v for k, v in about.items() if k != "image_base64"})
    with alone(video):
        if cfg.resume and video.exists():
            if other := differing(film.about, read_record(video.with_suffix(".json"))):
                raise ValueError(f"out: {video} was made otherwise ({', '.join(other)}); name another folder, or say --overwrite")
            console.print(f"{video}: is there already")
            return
        for there in () if cfg.overwrite or cfg.resume else (video, film.folder):
            if there.exists():
                raise ValueError(f"out: {there} is there already; say --resume to go on with what is unfinished, or --overwrite")
        manifest.refuse_other_json(video.with_suffix(".json"), ("format", "world", "weights"))
        manifest.refuse_other_json(video.with_suffix(".cameras.json"), ())
        path = case.path(settings)
        image, note = (None, "") if case.image is None else read_picture(case.image, source.size)
        if note:
            console.print(note)
        if not (cfg.resume and film.resume()):
            film.begin()
        else:
            source.load(film.session)
            console.print(f"{video}: goes on after frame {film.frames - 1}")
        try:
            chunks = source.walk(image, case.caption, settings.seed, path, film.frames)
            _write_all(film, noted(chunks, source, console), settings, source.save)
        except KeyboardInterrupt:
            console.print(f"Stopped; {film.frames} frames are in {film.folder}, and --resume goes on from there.")
            sys.exit(130)
        except BaseException:
            if not film.parts:  # nothing to go on from
                shutil.rmtree(film.folder, ignore_errors=True)
            raise
        finally:
            film.close()
        used = camera_of(rigid_rows(torch.cat(film.poses).tolist()), source.lens)
        metres, degrees = missed(path, used)
        notes = (f"the list asks for cameras that are up to {metres:.2f} m and {degrees:.1f} degrees from these",)
        notes = notes if max(metres, degrees) > 0.01 else ()
        joined, cameras = film.join(), video.with_suffix(".cameras.json")
        atomic.write_bytes(cameras, write("dreamx", Motion(used, source.fps, notes))[""])
        atomic.write_text(video.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
        joined.replace(video)  # it gets its name last: once it has it, everything beside it is there
        shutil.rmtree(film.folder)
    console.print(f"{video}: {film.frames} frames, {film.frames / source.fps:.1f} s at {source.fps:g} fps")
    for note in notes:
        console.print(f"This world {source.legs}: {note}, see {cameras.name}.")


def _write_all(film: ResumableVideo, chunks: Iterator[WalkedChunk], settings: Settings, save: Callable[[Path], None]) -> None:
    """All frames that are missing. While new ones are made, those before them are encoded."""
    frames, part = film.frames, 0  # made so far, in all and in this part; the film counts them later, in a thread
    picture, pending = film.folder / "opening.png", Future[None]()
    pending.set_result(None)
    if not frames:
        first = next(chunks)
        picture.write_bytes(png(first.frames[0]))
        chunks = chain([first], chunks)
    health = VideoHealth(opening := read_png(picture), frames)
    correct = None if settings.colour is None else Correction(opening, settings.colour)
    with ThreadPoolExecutor(1) as encoder:
        for new in chunks:
            shown, camera = new.frames[: settings.frames - frames], new.camera[: settings.frames - frames]  # the last is cut
            health.look(shown)
            # The opening picture is what colours are pulled to: it stays.
            shown = shown if correct is None or not frames else correct(shown)
            frames, part = frames + len(shown), part + len(shown)
            pending.result()
            pending = encoder.submit(film.write, shown, camera)
            if part >= settings.part or frames == settings.frames:
                pending.result()
                film.commit(save)
                part = 0


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Return the names of what differs between two records; of an object that both have, those of its fields."""
    other = dict(manifest.flat(theirs))
    return [name.rpartition(".")[2] for name, one in manifest.flat(ours) if name not in other or other[name] != one]


def noted(chunks: Iterable[T], source: World | Walker | Bidirectional, console: Console) -> Iterator[T]:
    """The same chunks; what their source notes about the words that were said is printed, once."""
    said = ""
    for chunk in chunks:
        if source.note not in ("", said):
            said = source.note
            console.print(said, markup=False, emoji=False)
        yield chunk
