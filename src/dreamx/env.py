"""A world as an environment of Gymnasium, for agents: ``pip install '.[gym]'`` in the checkout.

    env = gymnasium.make("dreamx/World-v0", world="tiny", reward=lambda frames, info: float(info["pose"][2, 3]))   # go ahead
    observation, info = env.reset(seed=7)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

``import dreamx.env`` (or the word ``dreamx.Env``) registers the name. One step is one chunk: its keys are held for all of its
frames. The goal is the user's: a world has none, so the reward is a function that is passed in, and nothing ever terminates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamx.event_timeline import EventTimeline, read_timeline
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import KEYS, Controls
from dreamx.picture import read_picture
from dreamx.plaintext import brief
from dreamx.play.gallery import read_starts
from dreamx.replay import ReplayStep, controls
from dreamx.session import Dream, Switches, find
from dreamx.world import World

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as e:
    raise ImportError("dreamx.Env needs Gymnasium: pip install '.[gym]' in the checkout") from e

#: Frames of a chunk, uint8 ``[n, H, W, 3]``, and the step's info -> the reward.
Reward = Callable[[NDArray[np.uint8], dict[str, Any]], float]
_OPTIONS = ("start", "image", "prompt")


class Env(gymnasium.Env[NDArray[np.uint8], NDArray[np.int8]]):
    """A world to act in.

    Action: ``MultiBinary(8)``, which keys are held, in the order of ``dreamx.KEYS`` (w a s d walk, i j k l look).
    Observation: the newest frame, uint8 ``[H, W, 3]``; with ``every_frame`` all of the chunk, ``[n, H, W, 3]``, where a chunk
    that is shorter (the opening, and the one after it) is filled up in front with the frame before.
    Info: ``pose`` float32 ``[4, 4]``, camera-to-world of the newest frame, metres, axes right, down, forward, the opening being
    the identity; ``chunk``, the number of steps since ``reset``; ``recalled``, a list of such poses: the remembered views that
    memory showed the network; ``packed``, a list of pairs, such a pose and the number of the chunk that packed memory recalled a
    latent frame of; ``happenings``, a list of pairs, the name of a taught event that goes on, and its phase.

    world: a name, a folder, or a world (which is forked: several may be made of one). limit: of steps, after which an episode is
    truncated; None: it never is. switches: by default all on. starts: folder of start pictures, by default that of the world,
    where its name or folder was given. timeline: what is said when in every episode (``event_timeline``), or a file of it.
    ValueError, one sentence, for what cannot be.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (so it is in the library)

    def __init__(
        self,
        world: World | Path | str = "tiny",
        reward: Reward | None = None,
        limit: int | None = 256,
        every_frame: bool = False,
        switches: Switches | None = None,
        starts: Path | None = None,
        render_mode: Literal["rgb_array"] | None = None,
        timeline: EventTimeline | Path | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}; give at least 1 step, or None for no limit")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}; give 'rgb_array' or None")
        opened, starts = open_world(world, starts, timeline)
        self.world = opened.fork() if opened is world else opened
        self.world.switches = switches or Switches()
        self.render_mode = render_mode
        self._starts = read_starts(starts)
        self._reward, self._limit, self._every = reward, limit, every_frame
        self._timeline = read_timeline(timeline) if isinstance(timeline, Path) else timeline or EventTimeline(())
        self._said: Iterator[str | None] = iter(())  # with each chunk of the episode
        self._steps = 0
        self._frames: NDArray[np.uint8] | None = None  # [n, H, W, 3], the newest last
        self._length = self.world.vae.config.group * self.world.config.sampler.chunk
        self.metadata = {**self.metadata, "render_fps": self.world.fps / self._length}
        shape = (*self.world.size, 3)
        self.observation_space = spaces.Box(0, 255, (self._length, *shape) if every_frame else shape, np.uint8)
        self.action_space = spaces.MultiBinary(len(KEYS))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode: the opening picture, and info. The same seed and options give the same world, bit for bit.

        options: ``start``, id of a start picture; or ``image``, uint8 ``[H, W, 3]`` of the world's size; ``prompt``, by
        default that of the start picture. Without start and image a start picture is drawn; where there are none, the world
        begins from the prompt alone.
        """
        super().reset(seed=seed)
        image, prompt = self._opening(options or {})
        number = int(self.np_random.integers(2**31)) if seed is None else seed % 2**31
        self._steps = 0
        first = _shown(self.world.reset(image, prompt, number))
        self._said = self._timeline.chunks(len(first), lambda: self.world.frames_per_step, self.world.fps)
        self._frames = np.repeat(first[-1:], self._length, 0)  # a released model opens with several, where there is no picture
        return self._observation(), self._info([])

    def step(self, action: NDArray[np.int8]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Hold the keys for a chunk: observation, reward, False, is the limit reached, info. ValueError before ``reset``."""
        held = self.held(action)
        dream = self.world.denoise(self.motion(held), self.words())
        return self.finish_step(dream, self.world.decode(dream))

    def held(self, action: NDArray[np.int8]) -> str:
        """Return the keys of an action. ValueError for anything else, and before ``reset``."""
        held = np.asarray(action)
        if held.shape != (len(KEYS),) or not np.isin(held, (0, 1)).all():
            raise ValueError(f"action: give {len(KEYS)} zeros and ones, one for each key of {KEYS}, not {action!r}")
        if self._frames is None:
            raise ValueError("step: the episode has not begun; call reset first")
        return "".join(k for k, on in zip(KEYS, held, strict=True) if on)

    def motion(self, keys: str) -> Controls:
        """Controls of the next chunk while keys are held."""
        return controls(ReplayStep(keys, self.world.frames_per_step), self.world.config.speed)

    def words(self) -> str | None:
        """Return what is said with the next chunk, once for each."""
        return next(self._said)

    def finish_step(self, dream: Dream, frames: Tensor) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Return the answer of ``step`` from a dream and its frames, uint8 ``[n, 3, H, W]``."""
        assert self._frames is not None, "the episode has begun"
        made = _shown(frames)
        self._frames = np.concatenate([np.repeat(self._frames[-1:], self._length - len(made), 0), made])
        self._steps += 1
        info = self._info([_pose(dream.recalled[i]) for i in range(len(dream.recalled))])
        if dream.packed_from is not None:
            info["packed"] = [(_pose(dream.packed_from[i]), frame.chunk) for i, frame in enumerate(dream.packed)]
        reward = 0.0 if self._reward is None else float(self._reward(made.copy(), info))
        return self._observation(), reward, False, self._limit is not None and self._steps >= self._limit, info

    def render(self) -> NDArray[np.uint8] | None:
        """The newest frame, uint8 ``[H, W, 3]``, where the render mode is ``rgb_array``. ValueError before ``reset``."""
        if self.render_mode is None:
            return None
        if self._frames is None:
            raise ValueError("render: there is no frame yet; call reset first")
        return self._frames[-1].copy()

    def _observation(self) -> NDArray[np.uint8]:
        assert self._frames is not None
        return (self._frames if self._every else self._frames[-1]).copy()

    def _info(self, recalled: list[NDArray[np.float32]]) -> dict[str, Any]:
        now = [(o.name, o.phase) for o in self.world.ongoing]
        where = {"pose": _pose(self.world.camera), "chunk": self._steps}
        return {**where, "recalled": recalled, "packed": list[Any](), "happenings": now}

    def _opening(self, options: dict[str, Any]) -> tuple[Tensor | None, str]:
        """Picture ``[3, H, W]`` and prompt."""
        for key in options:
            if key not in _OPTIONS:
                raise ValueError(f"options: {key!r} is unknown; give {', '.join(_OPTIONS)}")
        start, image, prompt = (options.get(key) for key in _OPTIONS)
        if start is not None and image is not None:
            raise ValueError("options: give start or image, not both")
        if prompt is not None and not isinstance(prompt, str):
            raise ValueError(f"options: prompt must be a string, not {prompt!r}")
        if image is not None:
            return _image(image, self.world.size), prompt or ""
        if start is None and self._starts:
            start = list(self._starts)[int(self.np_random.integers(len(self._starts)))]
        if start is None:
            return None, prompt or ""
        if start not in self._starts:
            known = ", ".join(self._starts) or "none"
            raise ValueError(f"options: {start!r} is no start picture of this world; it has {known}")
        found = self._starts[start]
        return read_picture(found.png, self.world.size)[0], found.prompt if prompt is None else prompt


def open_world(world: World | Path | str, starts: Path | None, timeline: object) -> tuple[World, Path | None]:
    """Open the world, if it is not, and find its start pictures, if they are not given.

    ValueError where a folder of start pictures, or what is said, is given as something else, as a plain string.
    """
    if not isinstance(starts, Path | None):
        raise ValueError(f"starts is {brief(starts)}; give a folder as pathlib.Path, or None for that of the world")
    if not isinstance(timeline, EventTimeline | Path | None):
        raise ValueError(
            f"timeline is {brief(timeline)}; give a file as pathlib.Path, or lines read by dreamx.event_timeline.parse_timeline"
        )
    return (world, starts) if isinstance(world, World) else (World.open(world), starts or find(world) / "starts")


def _image(image: object, size: tuple[int, int]) -> Tensor:
    rows, cols = size
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != (rows, cols, 3):
        given = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"options: image must be a uint8 array [{rows}, {cols}, 3], not {given}; resize or crop it")
    return torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous()


def _shown(frames: Tensor) -> NDArray[np.uint8]:
    """Frames ``[n, 3, H, W]`` -> ``[n, H, W, 3]``."""
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).cpu().numpy())


def _pose(camera: Camera) -> NDArray[np.float32]:
    return camera.pose.cpu().float().numpy().copy()


gymnasium.register("dreamx/World-v0", "dreamx.env:Env", vector_entry_point="dreamx.vector_env:VectorEnv")
