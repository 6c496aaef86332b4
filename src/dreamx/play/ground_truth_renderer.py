"""The truth beside the dream: a start picture of the simulator, walked in the very scene that it is of.

A process of its own draws, one for all sessions: it is not in the way of the network, it owns its GL context on its one thread,
and a graphics driver that crashes takes no session with it. It reads requests and writes answers as pickles on its standard
input and output, and ends when its input does.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from dreamx.config import LATER, from_json
from dreamx.geometry.camera import Camera
from dreamx.plaintext import read_json
from dreamx.world import World

_READY = 4  # scenes that are kept ready to be drawn; an older one is built again when it is asked for


@dataclass(frozen=True)
class SceneRef:
    """Scene of a start picture, from ``NAME.json`` beside it: it shows ``place(seed, style, kind)`` from its ``start(index)``."""

    seed: int
    kind: str
    style: str
    index: int
    pose: tuple[float, ...] | None = field(default=None, metadata=LATER)


#: A scene and the rows and columns of its pictures.
_Place = tuple[SceneRef, int, int]


def truth_for(world: World, start_file: Path) -> Callable[[Camera], Tensor] | None:
    """The truth of a walk that begins from this picture: cameras ``[n]`` of the session -> uint8 ``[n, 3, H, W]``.

    None where the picture is not of the simulator. What is returned may be called from any thread and waits for the pictures;
    RuntimeError when they cannot be drawn any more. ValueError, one sentence: MuJoCo is not installed, this machine cannot draw,
    the file beside the picture is bad.
    """
    file = start_file.with_suffix(".json")
    if not file.is_file():
        return None
    try:
        said = read_json(file)
        if isinstance(said, dict) and "seed" not in said:  # of somebody's own clip
            return None
        whence = from_json(SceneRef, said)
    except ValueError as e:
        raise ValueError(f"{file}: {e}; delete it, or make the starts again with dreamx data starts") from e
    if find_spec("mujoco") is None:
        raise ValueError("truth: the simulator is not installed; pip install '.[sim]' in the checkout")
    rows, cols = world.size

    def truth(path: Camera) -> Tensor:
        data = _PAINTER.ask((whence, rows, cols), path)
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(len(path), 3, rows, cols)

    try:
        truth(world.camera.map(lambda x: x[None]))  # builds the scene: what cannot be drawn is to fail now
    except RuntimeError as e:
        raise ValueError(f"truth: {e}") from e
    return truth


class _Painter:
    """The process that draws, started when it is first asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def ask(self, place: _Place, path: Camera) -> bytes:
        """The pictures of a path, ``[n, 3, rows, columns]``. RuntimeError, one sentence, where there are none."""
        request = (place, path.pose.cpu().numpy(), path.lens.cpu().numpy())
        with self._lock:
            process = self._process = self._process or _start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump(request, process.stdin)
                process.stdin.flush()
                data, trouble = pickle.load(process.stdout)
            except (EOFError, OSError, pickle.UnpicklingError):
                self._end()
                raise RuntimeError(f"the process that draws ended ({process.returncode}); start again") from None
        if trouble:
            raise RuntimeError(trouble)
        return data

    def close(self) -> None:
        """End the process, if there is one; it is started again when it is asked."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what is still in a broken pipe
                assert pipe is not None
                pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_PAINTER = _Painter()


def _start() -> subprocess.Popen[bytes]:
    program = f"from {__name__} import paint; paint()"
    # A session of its own, so that Ctrl-C reaches the server alone; drivers grumble on stderr. It is as urgent as who asks first.
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def paint() -> None:
    """Answer requests with (pictures, "") or (b"", what went wrong) until there are no more; the process runs this."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may come between the answers
    torch.set_num_threads(1)
    easel = _SceneCache()
    while True:
        try:
            place, pose, lens = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (easel.draw(place, Camera(torch.from_numpy(pose), torch.from_numpy(lens))), "")
        except Exception as e:
            answer = (b"", str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}")
        pickle.dump(answer, answers)
        answers.flush()


class _SceneCache:
    """The scene that is drawn, and some that may be asked for again."""

    def __init__(self) -> None:
        # Imported here: only the process that draws loads the simulator.
        from dreamx.data.scene import render
        from dreamx.data.scene.places import place

        self._render, self._scene = render, place
        self._scenes: dict[SceneRef, Any] = {}
        self._place: _Place | None = None
        self._renderer: Any = None

    def draw(self, place: _Place, path: Camera) -> bytes:
        whence, rows, cols = place
        if place != self._place:
            if self._renderer is not None:
                self._renderer.close()
            self._renderer = self._place = None
            self._renderer = self._render.Renderer(self._built(whence), cols, rows)
            self._place = place
        start = self._renderer.scene.start(whence.index)  # the session counts from there
        cameras = Camera(start.pose @ path.pose, path.lens)
        return b"".join(self._renderer.render(cameras[i])[0].numpy().tobytes() for i in range(len(cameras)))

    def _built(self, whence: SceneRef) -> Any:
        built = self._scenes.pop(whence, None) or self._scene(whence.seed, whence.style, whence.kind)
        while len(self._scenes) >= _READY:
            del self._scenes[next(iter(self._scenes))]
        self._scenes[whence] = built  # the last in line is the newest
        return built
