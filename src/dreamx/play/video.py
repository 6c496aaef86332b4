"""Frames to a video file, as they come; and a player's recordings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from secrets import token_urlsafe
from threading import Lock

import av
from av.video.reformatter import Interpolation, VideoReformatter
from torch import Tensor

from dreamx.play.server_messages import Error, Recorded, in_full, reason

_LOG = logging.getLogger("uvicorn.error")
LIMIT = 600  # seconds that one recording may last
WIDE = 640  # pixels: smaller pictures are enlarged to this, as on the page


class VideoRecording:
    """An mp4 with H.264 that grows by frames; ``close`` makes it playable.

    ``scale``: pixels of the video for one of the frames, by bicubic interpolation, or ``crisp``, as squares.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, scale: int = 1, crisp: bool = False) -> None:
        self.frames = 0
        self._scaling = None if scale == 1 else Interpolation.POINT if crisp else Interpolation.BICUBIC
        self._container = av.open(str(path), "w", format="mp4")
        # Frames that wait in the encoder's look-ahead are damaged now and then (PyAV 18.1): without it, none wait.
        options = {"crf": "16", "tune": "zerolatency", **({"preset": "veryfast"} if scale > 1 else {})}
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        self._stream.height, self._stream.width = (
            x * scale + x * scale % 2 for x in size
        )  # its colours are halved: sides must be even
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.thread_count = 1  # the number of threads changes the bits
        self._colours = VideoReformatter()  # one, of one thread: `frame.reformat` starts a thread a core for every frame

    def write(self, frames: Iterable[Tensor]) -> None:
        """Add uint8 pictures ``[3, H, W]``."""
        stream = self._stream
        for image in frames:
            array = image.permute(1, 2, 0).contiguous().cpu().numpy()
            picture = av.VideoFrame.from_ndarray(array, "rgb24")
            picture = self._colours.reformat(
                picture, stream.width, stream.height, stream.pix_fmt, interpolation=self._scaling, threads=1
            )
            self._container.mux(stream.encode(picture))
            self.frames += 1

    def close(self) -> None:
        """No more frames come."""
        if self.frames:  # an encoder without frames cannot be flushed
            self._container.mux(self._stream.encode())  # flushes what the encoder still holds
        self._container.close()


class Recorder:
    """Records what a player sees into ``folder``, one video at a time, as large as the page shows it (``screen.js``).

    Its methods may be called from any thread. Where the disk fails, the recording ends, nothing is left of it, and an
    ``Error`` is returned; the walk goes on. ``signed``: text that is written beside a video, as NAME.json.
    """

    def __init__(self, folder: Path, size: tuple[int, int], fps: float, signed: Callable[[], str] | None = None) -> None:
        self._folder, self._size, self._fps, self._signed = folder, size, fps, signed
        self._scale = max(1, -(-WIDE // max(size)))  # whole, so that squares stay equal: 64 pixels become 640
        self._lock = Lock()
        self._file: VideoRecording | None = None
        self._name = ""

    @property
    def on(self) -> bool:
        """Whether a video is being recorded."""
        return self._file is not None

    def start(self, crisp: bool = False) -> None:
        """Begin a video, if none is being recorded; ``crisp``: every pixel is a square. ValueError where it cannot be written."""
        with self._lock:
            if self._file is None:
                self._name = token_urlsafe(12)  # not to be guessed: whoever has the name may fetch the video
                try:
                    self._file = VideoRecording(self._part, self._size, self._fps, self._scale, crisp)
                except Exception as e:
                    raise ValueError(self._give_up(None, e).text) from e

    def write(self, frames: Tensor) -> Recorded | Error | None:
        """Add frames ``[n, 3, H, W]``, if a video is being recorded; at ``LIMIT`` it ends, which is returned."""
        with self._lock:
            if self._file is None:
                return None
            left = round(LIMIT * self._fps) - self._file.frames
            try:
                self._file.write(frames[:left])
            except Exception as e:
                return self._give_up(self._file, e)
            return self._end() if len(frames) >= left else None

    def stop(self) -> Recorded | Error | None:
        """End the video; None where there is none, or no frame in it."""
        with self._lock:
            return self._end()

    @property
    def _part(self) -> Path:
        return self._folder / f"{self._name}.part"

    def _end(self) -> Recorded | Error | None:
        if self._file is None:
            return None
        file, self._file = self._file, None  # first: whatever fails below, no further frame is added
        try:
            file.close()
            if not file.frames:
                self._part.unlink(missing_ok=True)
                return None
            if self._signed is not None:
                self._part.with_suffix(".json").write_text(self._signed(), encoding="utf-8")
            self._part.replace(self._folder / f"{self._name}.mp4")
        except Exception as e:
            return self._give_up(None, e)
        return Recorded(url=f"api/recordings/{self._name}.mp4", frames=file.frames)

    def _give_up(self, file: VideoRecording | None, why: Exception) -> Error:
        """Remove the unfinished recording and return why."""
        self._file = None
        with suppress(Exception):
            if file is not None:
                file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
            self._part.with_suffix(".json").unlink(missing_ok=True)
        text = f"the video could not be written ({reason(why)}), so there is none; the walk goes on"
        _LOG.warning("recording %s: %s", self._name, in_full(why))
        return Error(text=text)
