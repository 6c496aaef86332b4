"""``dreamx data doom --out OUT``: clips of a game, ViZDoom with its bundled Freedoom levels, walked by a script.

Cameras are the engine's own. Its axes: x east, y north, z up, angle counter-clockwise from east; ours: x east, y down, z north.
Doom draws heights 1.2 times as tall as widths, as if the world were 1.2 times as tall: so here it is, seen with square pixels.
Looking up would shear the picture, so nobody does. 32 units are a metre. Depth comes in 256 levels of 0.25 m: its middle counts.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from rich.progress import track
from torch import Tensor

from dreamx.bounds import OutputFolder, PositiveInt, Seed, check_values
from dreamx.clip import Clip, refuse_held_out
from dreamx.config import to_json
from dreamx.data.importers.source_shot import ClipFormat, cropped, fitted
from dreamx.data.output_options import Into, open_folder
from dreamx.events import style_sentence
from dreamx.geometry.camera import Camera, rigid, rotation

UNITS = 32.0  # of the map, a metre: a marine of 56 units is 1.75 m tall
TALL = 1.2  # heights are drawn so much taller
LEVEL = 8.0  # units of the map, one step of the depth buffer
TICKS = 2  # of the engine a frame, of 35 a second
_SKY = 255
_TURN = 1.5  # degrees a tick
_MAPS = tuple(f"E1M{i}" for i in range(1, 10))
# (held keys, weight, shortest and longest span in frames)
_SPANS = (("w", 5, 12, 40), ("wj", 3, 8, 24), ("wl", 3, 8, 24), ("j", 2, 8, 24), ("l", 2, 8, 24), ("s", 1, 8, 16),
          ("a", 1, 8, 16), ("d", 1, 8, 16))  # fmt: skip


@dataclass(frozen=True)
class DoomConfig:
    """Clips from the game. A clip that is there is not made again, and each is a pure function of its number."""

    out: OutputFolder
    """Folder of clips, or dataset, to write."""
    clips: PositiveInt = 20
    """How many."""
    first_seed: Seed = 0
    """Number of the first."""
    maps: tuple[str, ...] = _MAPS
    """Levels of Freedoom's first part, in turn."""
    monsters: bool = False
    """With monsters, things move by themselves."""
    wanted: ClipFormat = field(default_factory=lambda: ClipFormat(frames=121))
    """Size and length; the rate is the engine's, 17.5 frames a second."""
    into: Annotated[Into, tyro.conf.arg(name="")] = Into()
    """A dataset in place of clips, and on what it is made."""

    def __post_init__(self) -> None:
        check_values(self)
        if not self.maps or set(self.maps) - set(_MAPS):
            raise ValueError(f"doom.maps must be some of {', '.join(_MAPS)}, not {', '.join(self.maps) or 'nothing'}")
        refuse_held_out(self.first_seed + self.clips - 1)


def doom(cfg: DoomConfig) -> int:
    """Play what is missing; returns how many clips there are now. ValueError where ViZDoom is not installed."""
    if cfg.into.dataset:
        _engine()
        return cfg.into.run(Played(replace(cfg, out=Path(), into=Into())), cfg.out, 0)[0]
    about = {"maps": cfg.maps, "monsters": cfg.monsters, "wanted": to_json(cfg.wanted)}
    open_folder(cfg.out, "clips of dreamx data doom", (r"doom-\d{7,}\.safetensors",), about)
    seeds = range(cfg.first_seed, cfg.first_seed + cfg.clips)
    for seed in track([s for s in seeds if not _path(cfg, s).exists()], "clips"):
        play(cfg, seed).save(_path(cfg, seed))
    return sum(_path(cfg, s).exists() for s in seeds)


@dataclass(frozen=True)
class Played:
    """The clips of ``cfg`` as a source of a run (``dreamx.data.engine``)."""

    cfg: DoomConfig

    @property
    def names(self) -> list[str]:
        """The name of each clip."""
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        return [_path(self.cfg, self.cfg.first_seed + i).stem for i in range(self.cfg.clips)]

    def clip(self, i: int) -> Clip:
        """Play clip ``i``."""
        return play(self.cfg, self.cfg.first_seed + i)


def play(cfg: DoomConfig, seed: int) -> Clip:
    """One walk."""
    rng = np.random.default_rng([seed, 17])
    level = cfg.maps[seed % len(cfg.maps)]
    with tempfile.TemporaryDirectory() as folder:  # the engine writes its settings somewhere
        game = _game(cfg, level, seed, Path(folder))
        seen, actions = _walk(cfg, game, rng)
    return _clip(cfg, seed, level, seen, actions)


def _walk(cfg: DoomConfig, game: Any, rng: np.random.Generator) -> tuple[list[DoomView], Tensor]:
    """Walk at random; return the views and the keys ``[F, 8]`` that led to each. Closes the engine."""
    try:
        for keys in _script(game, rng, int(rng.integers(20, 200))):  # somewhere else than at the start of the level
            _hold(game, keys)
        seen = [_look(game)]
        actions = [torch.zeros(8)]
        for keys in _script(game, rng, cfg.wanted.frames - 1):
            _hold(game, keys)
            seen.append(_look(game))
            actions.append(torch.tensor([float(k in keys) for k in "wasdijkl"]))
    finally:
        game.close()
    return seen, torch.stack(actions)


@dataclass(frozen=True)
class DoomView:
    """One frame of the engine: picture uint8 ``[3, H, W]``, depth ``[H, W]`` metres (0: sky), pose, what is seen ``[H, W]``."""

    picture: Tensor
    depth: Tensor
    pose: Tensor
    things: Tensor
    names: dict[int, str]


def camera_of(values: np.ndarray) -> Tensor:
    """The engine's x, y, z (units) and angle (degrees) as a pose ``[4, 4]``: camera-to-world, metres."""
    x, y, z, angle = (float(v) for v in values[:4])
    heading = rotation("y", torch.tensor(90.0 - angle, dtype=torch.float64))  # angle 90 looks north, along +z
    return rigid(heading, torch.tensor([x, -TALL * z, y], dtype=torch.float64) / UNITS)


def metres(depth: Tensor) -> Tensor:
    """The depth buffer's bytes as metres along z: the middle of each level; 0 where it is the sky or beyond."""
    return torch.where(depth < _SKY, (depth.float() + 0.5) * LEVEL / UNITS, 0.0)


def _clip(cfg: DoomConfig, seed: int, level: str, seen: list[DoomView], actions: Tensor) -> Clip:
    h, w = seen[0].depth.shape
    lens = cropped(torch.tensor([[0.5, 0.5 * w / h, 0.5, 0.5]]), (w, h), (cfg.wanted.width, cfg.wanted.height))  # 90 degrees wide
    fit = [fitted((x.picture, x.depth), cfg.wanted) for x in seen]
    things = [fitted((x.picture, x.things.float()), cfg.wanted)[1] for x in seen]
    names = {k: v for x in seen for k, v in x.names.items()}
    first = seen[0].pose
    poses = torch.stack([x.pose for x in seen])
    poses[:, :3, 3] -= first[:3, 3].clone()
    said = sorted(set(names.values()))[:4]
    words = style_sentence("game") + " A first-person walk through a level of an old shooter."
    return Clip(
        torch.stack([p for p, _ in fit]),
        Camera(poses, lens.double().expand(len(poses), 4)).to(dtype=torch.float32),
        actions,
        torch.stack([d for _, d in fit if d is not None]).half(),
        35 / TICKS,
        words + (f" There are {', '.join(said)}." if said else ""),
        "game",
        "indoor",
        seed,
        source=f"ViZDoom, Freedoom {level}",
        licence="BSD-3-Clause (Freedoom)",
        extra={"units": "metres"},
        segments=torch.stack([t for t in things if t is not None]).to(torch.int16),
        entities=names,
    )


def _engine() -> Any:
    try:
        import vizdoom
    except ImportError as e:
        raise ValueError(f"the game needs ViZDoom ({e}); pip install '.[doom]' in the checkout") from None
    return vizdoom


def _game(cfg: DoomConfig, level: str, seed: int, folder: Path) -> Any:
    vizdoom = _engine()
    game = vizdoom.DoomGame()
    game.set_doom_game_path(str(Path(vizdoom.__file__).parent / "freedoom1.wad"))
    game.set_doom_map(level)
    game.set_doom_config_path(str(folder / "settings.ini"))
    if sys.platform == "linux":
        game.set_vizdoom_path(str(_leashed(Path(vizdoom.__file__).parent / "vizdoom", folder)))
    big = max(cfg.wanted.width, cfg.wanted.height) > 120
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_640X480 if big else vizdoom.ScreenResolution.RES_320X240)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_depth_buffer_enabled(True)
    game.set_labels_buffer_enabled(True)
    for off in ("hud", "weapon", "crosshair", "decals", "messages", "screen_flashes"):
        getattr(game, f"set_render_{off}")(False)
    game.set_sound_enabled(False)  # it crashes without a sound card
    game.set_audio_buffer_enabled(False)
    game.set_window_visible(False)
    game.set_mode(vizdoom.Mode.PLAYER)
    game.set_seed(seed)
    game.set_doom_skill(1)
    game.set_episode_timeout(0)
    v, b = vizdoom.GameVariable, vizdoom.Button
    game.set_available_game_variables(
        [v.CAMERA_POSITION_X, v.CAMERA_POSITION_Y, v.CAMERA_POSITION_Z, v.CAMERA_ANGLE, v.CAMERA_PITCH]
    )
    game.set_available_buttons([b.MOVE_FORWARD, b.MOVE_LEFT, b.MOVE_BACKWARD, b.MOVE_RIGHT, b.TURN_LEFT_RIGHT_DELTA])
    if not cfg.monsters:
        game.add_game_args("-nomonsters")
    game.add_game_args("+sv_cheats 1 +movebob 0")  # no swinging of the head that nobody pressed
    with contextlib.chdir(folder):  # the engine also keeps what it computes of a level where it starts
        game.init()
    if sys.platform == "linux":
        _unnamed(folder)
    game.send_game_command("god")
    return game


def _leashed(program: Path, folder: Path) -> Path:
    """A program in ``folder`` that is ``program``, but dies with the process that starts it, and writes down its words.

    The engine is a process of its own, and would wait for orders for ever where a run is killed."""
    note, run = str(folder / "words"), str(program)
    words = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "  # PR_SET_PDEATHSIG, SIGKILL
        f"os.getppid() == {os.getpid()} or os._exit(1); "  # it is dead already
        f"open({note!r}, 'w').write(' '.join(sys.argv[1:])); os.execv({run!r}, [{run!r}, *sys.argv[1:]])"
    )
    path = folder / "engine"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S -c {shlex.quote(words)} "$@"\n')
    path.chmod(0o700)
    return path


def _unnamed(folder: Path) -> None:
    """Take away the names of the memory that the engine shares with us, now that both have it: it goes when they go."""
    words = (folder / "words").read_text().split()
    number = words[words.index("+viz_instance_id") + 1]
    for kind in ("SM", "MQCtr", "MQDoom"):
        Path(f"/dev/shm/ViZDoom{kind}{number}").unlink(missing_ok=True)


def _script(game: Any, rng: np.random.Generator, frames: int) -> Any:
    """Held keys, a frame each; a span that runs into a wall ends there, and the next one turns away."""
    weights = np.array([s[1] for s in _SPANS], float)
    left, blocked = frames, False
    while left > 0:
        held, _, low, high = _SPANS[int(rng.choice(len(_SPANS), p=weights / weights.sum()))]
        if blocked:
            held, low, high = str(rng.choice(["j", "l"])), 12, 30
        blocked = False
        for _ in range(min(left, int(rng.integers(low, high + 1)))):
            before = _place(game)
            yield held
            left -= 1
            if set(held) & set("wasd") and float(np.hypot(*(_place(game) - before))) < 0.5:
                blocked = True
                break


def _place(game: Any) -> np.ndarray:
    return np.array(game.get_state().game_variables[:2])


def _hold(game: Any, keys: str) -> None:
    turn = _TURN * (("l" in keys) - ("j" in keys))
    game.make_action([float("w" in keys), float("a" in keys), float("s" in keys), float("d" in keys), turn], TICKS)


def _look(game: Any) -> DoomView:
    state = game.get_state()
    if abs(float(state.game_variables[4])) > 1e-6:
        raise RuntimeError("the camera looks up or down, which shears the picture")
    ids = np.zeros(256, np.int64)
    names: dict[int, str] = {}
    for label in state.labels:
        if label.object_name != "DoomPlayer":
            ids[label.value] = label.object_id % 32767 + 1
            names[label.object_id % 32767 + 1] = label.object_name
    return DoomView(
        torch.from_numpy(state.screen_buffer.copy()).permute(2, 0, 1),
        metres(torch.from_numpy(state.depth_buffer.copy())),
        camera_of(state.game_variables),
        torch.from_numpy(ids[state.labels_buffer]),
        names,
    )


def _path(cfg: DoomConfig, seed: int) -> Path:
    return cfg.out / f"doom-{seed:07d}.safetensors"
