"""Many sessions of a world as one environment of Gymnasium: one pass of the network serves all of them.

    envs = gymnasium.make_vec("dreamx/World-v0", num_envs=8, world="tiny")
    observations, infos = envs.reset(seed=7)  # uint8 [8, H, W, 3]
    observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())

Each is an ``Env`` with its own seed and start, and shows what it would show alone (``world_batch``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from dreamx.env import Env, Reward, open_world
from dreamx.event_timeline import EventTimeline
from dreamx.session import Switches
from dreamx.world import World
from dreamx.world_batch import decode_together, denoise_together

# isort: split
import gymnasium  # after dreamx.env, which says what to install where it is missing
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space


class VectorEnv(gymnasium.vector.VectorEnv[NDArray[np.uint8], NDArray[np.int8], NDArray[Any]]):
    """Sessions of one world that step together.

    Action: ``[num_envs, 8]`` zeros and ones; observation: uint8 ``[num_envs, H, W, 3]``, or ``[num_envs, n, H, W, 3]`` with
    ``every_frame``; info: as ``SyncVectorEnv`` joins those of ``Env``. ``envs``: the sessions.

    num_envs: how many. autoreset: what happens to a session that reached its limit, by Gymnasium's rules: ``NEXT_STEP`` begins it
    anew in the step after, whose action it ignores and whose reward is 0; ``SAME_STEP`` at once, with the last observation and
    info in ``final_obs`` and ``final_info``; ``DISABLED`` leaves that to ``reset(options={"reset_mask": ...})``. The others are
    those of ``Env``, for all sessions alike. ValueError, one sentence, for what cannot be.
    """

    def __init__(
        self,
        num_envs: int = 1,
        world: World | Path | str = "tiny",
        reward: Reward | None = None,
        limit: int | None = 256,
        every_frame: bool = False,
        switches: Switches | None = None,
        starts: Path | None = None,
        render_mode: Literal["rgb_array"] | None = None,
        timeline: EventTimeline | Path | None = None,
        autoreset: AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        if not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(f"num_envs is {num_envs!r}; give a whole number, at least 1")
        if not isinstance(autoreset, AutoresetMode):
            modes = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
            raise ValueError(f"autoreset is {autoreset!r}; give one of {modes}")
        world, starts = open_world(world, starts, timeline)
        every = [Env(world, reward, limit, every_frame, switches, starts, render_mode, timeline) for _ in range(num_envs)]
        self.envs, self.num_envs, self.render_mode, self.autoreset = every, num_envs, render_mode, autoreset
        self.metadata = {**every[0].metadata, "autoreset_mode": autoreset}
        self.single_observation_space, self.single_action_space = every[0].observation_space, every[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seen = np.zeros(self.observation_space.shape or (), np.uint8)  # the newest observation of each session
        self._over = np.zeros(num_envs, np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin all episodes: observations and infos.

        seed: one for each session, or a number from which they count up. options: those of ``Env``, for all; and ``reset_mask``,
        bool ``[num_envs]``: begin those alone.
        """
        seeds = _seeds(seed, self.num_envs)
        rest = dict(options or {})
        mask = rest.pop("reset_mask", np.ones(self.num_envs, np.bool_))
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"options: reset_mask must be a bool array [{self.num_envs}] with a True in it, not {mask!r}")
        infos: dict[str, Any] = {}
        for i in map(int, np.flatnonzero(mask)):
            self._seen[i], info = self.envs[i].reset(seed=seeds[i], options=rest)
            self._over[i] = False
            infos = self._add_info(infos, info, i)
        return self._seen.copy(), infos

    def step(
        self, actions: NDArray[np.int8]
    ) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Hold keys for a chunk in every session: observations, rewards float64, terminations (none), truncations, infos.

        ValueError before ``reset``, and for a wrong action: then no session has moved.
        """
        wanted = self.action_space.shape
        if np.shape(actions) != wanted:
            raise ValueError(
                f"actions must be zeros and ones {list(wanted or ())}, a row for each environment, not {list(np.shape(actions))}"
            )
        if self.autoreset == AutoresetMode.DISABLED and self._over.any():
            late = int(np.flatnonzero(self._over)[0])
            raise ValueError(f"step: the episode of environment {late} is over; call reset with it in options['reset_mask']")
        begins = self._over & (self.autoreset == AutoresetMode.NEXT_STEP)
        goes = [int(i) for i in np.flatnonzero(~begins)]
        answers = dict(zip(goes, self._stepped([self.envs[i] for i in goes], [actions[i] for i in goes]), strict=True))
        rewards, over, infos = np.zeros(self.num_envs), np.zeros(self.num_envs, np.bool_), dict[str, Any]()
        for i, env in enumerate(self.envs):
            if begins[i]:
                self._seen[i], info = env.reset()
            else:
                self._seen[i], rewards[i], _, over[i], info = answers[i]
                if over[i] and self.autoreset == AutoresetMode.SAME_STEP:
                    infos = self._add_info(infos, {"final_obs": self._seen[i].copy(), "final_info": info}, i)
                    self._seen[i], info = env.reset()
            infos = self._add_info(infos, info, i)
        self._over = over.copy()
        return self._seen.copy(), rewards, np.zeros(self.num_envs, np.bool_), over, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The newest frame of each session, uint8 ``[H, W, 3]``, where the render mode is ``rgb_array``."""
        return None if self.render_mode is None else tuple(frame for env in self.envs if (frame := env.render()) is not None)

    def _stepped(
        self, envs: list[Env], actions: list[NDArray[np.int8]]
    ) -> list[tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]]:
        if not envs:
            return []
        held: list[str] = []
        for env, action in zip(envs, actions, strict=True):
            try:
                held.append(env.held(action))
            except ValueError as e:
                raise ValueError(f"environment {self.envs.index(env)}: {e}") from e
        worlds = [env.world for env in envs]
        motions = [env.motion(keys) for env, keys in zip(envs, held, strict=True)]
        dreams = denoise_together(worlds, motions, [env.words() for env in envs])
        shown = decode_together(worlds, dreams)
        return [env.finish_step(dream, frames) for env, dream, frames in zip(envs, dreams, shown, strict=True)]


def _seeds(given: object, count: int) -> list[int | None]:
    """The seed of each environment. ValueError for what is no seed."""
    if given is None:
        return [None] * count
    if isinstance(given, (int, np.integer)):
        return [int(given) + i for i in range(count)] if given >= 0 else _refuse_seed(given, count)
    each = list(given) if isinstance(given, (list, tuple, np.ndarray)) else []
    if len(each) != count or not all(x is None or (isinstance(x, (int, np.integer)) and x >= 0) for x in each):
        _refuse_seed(given, count)
    return [None if x is None else int(x) for x in each]


def _refuse_seed(given: object, count: int) -> NoReturn:
    raise ValueError(f"seed: {given!r} given for {count} environments; give one number of 0 or more, or one for each, or None")
