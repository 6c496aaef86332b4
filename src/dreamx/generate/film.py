"""A video in parts: each is a whole file and stays when the power goes; together they are the video, without encoding it again.

In ``NAME.part/`` lie ``0000.mp4``, ``0001.mp4``, ..., the cameras of each, the session as it was after the last of them, and
``progress.json``, which is written last and says what counts. Whatever else lies there was being written when it ended.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import av
import torch
from rich.console import Console
from torch import Tensor

from dreamx import atomic, manifest
from dreamx.generate.bidirectional import Bidirectional
from dreamx.generate.world_walker import Walker
from dreamx.geometry.camera import Camera
from dreamx.plaintext import read_json
from dreamx.play.video import VideoRecording
from dreamx.world import World

T = TypeVar("T")


class ResumableVideo:
    """Writes one video, ``out``, in parts. ``about`` is what decides about its frames: a film goes on under the same alone."""

    def __init__(self, out: Path, size: tuple[int, int], fps: float, about: dict[str, Any]) -> None:
        self.out, self.folder = out, out.with_suffix(".part")
        self.parts = self.frames = 0
        self._size, self._fps, self.about = size, fps, about
        self._file: VideoRecording | None = None
        self._poses: list[Tensor] = []

    @property
    def session(self) -> Path:
        """The session after the last whole part."""
        return self.folder / f"{self.parts - 1:04d}.session"

    def begin(self) -> None:
        """From nothing; what a film left there is thrown away. ValueError where anything else lies there."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if not re.fullmatch(r"(\d{4}\.(mp4|json|session)|progress\.json)((\.\d+)?\.tmp)?|opening\.png", path.name):
                raise ValueError(f"out: {self.folder} holds {path.name}, which is of no film; move it away or give another name")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def resume(self) -> bool:
        """Go on after the last whole part; False where there is none. ValueError where it is another video's."""
        try:
            progress = read_json(self.folder / "progress.json")
            theirs, parts, frames = dict(progress["about"]), int(progress["parts"]), int(progress["frames"])
            if not (0 < parts <= len(list(self.folder.glob("*.mp4"))) and frames > 0):
                return False  # it says what is not there
        except (OSError, ValueError, LookupError, TypeError, OverflowError):
            return False
        other = differing(self.about, theirs)
        if other:
            raise ValueError(
                f"{self.folder} was begun otherwise ({', '.join(other)}); resume it as it was begun, or say --overwrite"
            )
        self.parts, self.frames = parts, frames
        return True

    def write(self, frames: Tensor, cameras: Camera) -> None:
        """Frames, uint8 ``[n, 3, H, W]``, and the cameras that they were seen from."""
        if self._file is None:
            self._file = VideoRecording(self.folder / f"{self.parts:04d}.mp4", self._size, self._fps)
        self._file.write(frames)
        self._poses.append(cameras.pose[:, :3].flatten(1))

    def end_part(self) -> None:
        """This part is whole; ``commit`` makes it count, once the session is saved too."""
        assert self._file is not None
        self._file.close()
        self.frames += self._file.frames
        atomic.write_json(self.folder / f"{self.parts:04d}.json", torch.cat(self._poses).tolist(), None)
        self.parts, self._file, self._poses = self.parts + 1, None, []

    def commit(self) -> None:
        """From now on all parts so far count."""
        said = {"parts": self.parts, "frames": self.frames, "about": self.about}
        atomic.write_json(self.folder / "progress.json", said, None)
        for old in self.folder.glob("*.session"):
            if old != self.session:
                old.unlink()

    def poses(self) -> list[list[float]]:
        """The upper 3x4 of every camera, row by row."""
        names = [self.folder / f"{i:04d}.json" for i in range(self.parts)]
        every = [read_json(name) for name in names]
        if not all(isinstance(rows, list) and all(isinstance(row, list) for row in rows) for rows in every):
            raise ValueError(f"{self.folder} holds no cameras of a film; say --overwrite")
        return [row for rows in every for row in rows]

    def join(self) -> Path:
        """All parts as one file beside ``out``, still under another name: their packets one after the other."""
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


def length(video: Path, frames: int, fps: float) -> str:
    """The sentence on a video that is made."""
    return f"{video}: {frames} frames, {frames / fps:.1f} s at {fps:g} fps"
