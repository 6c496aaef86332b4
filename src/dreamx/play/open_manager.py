"""Open the world that a process serves, with its gallery, its places and its store."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

from dreamx.budget.fit import world_must_fit
from dreamx.decoding import compute_in
from dreamx.model.cpu_ops import only_plain
from dreamx.model.precision import dtype_at_play
from dreamx.play.gallery import read_starts
from dreamx.play.play_config import PlayConfig
from dreamx.play.session_manager import SessionManager, TruthOf
from dreamx.play.session_store import SessionStore
from dreamx.world import World, find

#: Seconds after which a thread that reads a long replay lets go of the interpreter: every operation of a dream waits for that.
_SWITCH = 0.0005


def open_manager(cfg: PlayConfig, store: Callable[[], SessionStore]) -> SessionManager:
    """Set the process up for playing and open the world. ``store`` is called before the seconds that opening takes.

    ValueError, one sentence, where there is no such world, or it does not fit this machine.
    """
    _few_arenas()
    sys.setswitchinterval(_SWITCH)
    if cfg.plain:
        only_plain()
    torch.set_num_threads(cfg.threads or max(1, (os.cpu_count() or 1) // 2))
    folder = cfg.starts or find(cfg.world) / "starts"
    world_must_fit(cfg.world, cfg.choice)
    kept = store()  # refused at once, where another server has it
    world = World.open(cfg.world, cfg.choice)
    compute_in(world.vae, dtype_at_play(cfg.precision))
    manager = SessionManager(
        world,
        cfg.world,
        read_starts(folder),
        cfg.jpeg_quality,
        cfg.sessions,
        kept,
        _truths(world, folder) if cfg.truth else None,
        cfg.idle_seconds,
        cfg.keep_seconds,
    )
    gc.collect()
    gc.freeze()  # what is loaded stays: looking through all of it for garbage holds up a chunk by 100 ms and more
    return manager


def state_folder() -> Path:
    """Return the folder for state in the user's home (XDG base directories)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "dreamx"


def _truths(world: World, starts: Path) -> TruthOf:
    """Return the renderer of ground truth for each start picture of a folder. ValueError where this machine cannot draw any."""
    from dreamx.play.ground_truth_renderer import truth_for  # needs the simulator, and playing does not

    scenes = sorted(starts.glob("*.json"))
    if not scenes:
        raise ValueError(f"truth: no start picture in {starts} is of the simulator; make some with dreamx data starts")
    truth_for(world, scenes[0].with_suffix(".png"))
    return lambda start: partial(truth_for, world, starts / f"{start}.png")


def _few_arenas() -> None:
    """Let glibc have two heaps for all threads, not one for each: what is made on one thread and freed on another, as every chunk
    is, would pile up in them. With tensors like those of ``tiny``, four players and 30 forks each, the process then wandered
    between 1,000 and 1,170 MB, and stands still at 790. Elsewhere nothing is done.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX of malloc.h
