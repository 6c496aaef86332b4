"""Output folders of a stage: its run's and that of its networks, each its own or refused before work begins."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import tyro

from dreamx import manifest
from dreamx.bounds import Existing
from dreamx.checkpoints import native
from dreamx.config import to_json
from dreamx.train.run_config import RunConfig

#: Of a run, what may differ when it goes on: how long it is, how it is looked at, and where its files lie.
FREE = ("run", "data", "start", "out", "samples", "sheet_every")
_RUN = (r"checkpoints", r"log\.jsonl", r"sheet\.png", r"samples\.png", r"samples", "model", "critic")
_RUN_FREE = ("folder", "steps", "warmup", "decay", "floor", "save_seconds", "save_steps", "log_every", "threads")


#: Folder of the networks to go on from. On the command line ``--from``, and ``--start`` as it was: torchrun, which reads all
#: flags before it knows whose they are, takes ``--start`` for one of its own two beginnings with that and refuses it.
_FROM: Any = tyro.conf.arg(name="from", aliases=("--start",))
StartFolder = Annotated[Path, Existing(folder=True), _FROM]
#: The same where a stage can begin anew.
OptionalStart = Annotated[Path | None, Existing(folder=True), _FROM]


class StageConfig(Protocol):
    """Fields that the configs of all stages have in common."""

    @property
    def run(self) -> RunConfig: ...
    @property
    def out(self) -> Path: ...


def claim(
    cfg: StageConfig,
    stage: str,
    parts: Sequence[str],
    reads: Sequence[Path | None],
    more: Sequence[str] = (),
    learned: Mapping[str, Any] | None = None,
    free: Sequence[str] = (),
) -> None:
    """Make both folders this stage's own, or find that they are.

    parts: the networks that it writes; reads: the files and folders that it reads; more: patterns of other files that it writes;
    learned: settings beside those of ``cfg`` that decide what is learned; free: fields of ``cfg`` that do not.
    ValueError, one sentence, where a folder is one of these, is somebody else's, holds other networks, or the run was begun with
    other settings.
    """
    run, out = cfg.run.folder, cfg.out
    for folder, flag in ((run, "run.folder"), (out, "out")):
        manifest.refuse_input(folder, reads, flag)
    networks = (r"config\.json", r"card\.json", *(rf"{part}\.safetensors" for part in parts), *more)
    settings = {k: v for k, v in _settings(cfg).items() if k not in free} | dict(learned or {})
    first = int(os.environ.get("RANK", "0")) == 0  # of several processes one writes, and all look

    def old() -> None:
        """Check a folder from before manifests: its config.json must name these networks, and no run may begin anew over them."""
        held = native.held(out)
        if held and held != set(parts):
            raise ValueError(
                f"out: {out} holds other networks ({', '.join(sorted(held))}); give the name of a new or an empty folder"
            )
        if held and not (run / "checkpoints").is_dir():
            raise ValueError(f"out: {out} holds networks of another run; give the name of a new or an empty folder")

    if run.resolve() == out.resolve():  # one folder for both has one manifest
        manifest.claim(out, f"a run of dreamx train {stage}", (*_RUN, *networks), settings, old, write=first)
        return
    home = {"run.folder": os.path.relpath(run.resolve(), out.resolve())}
    for write in (False, first):  # look at both before one of them is made
        manifest.claim(run, f"a run of dreamx train {stage}", _RUN, settings, flag="run.folder", write=write)
        manifest.claim(out, f"networks of dreamx train {stage}", networks, home, old, write=write)


def _settings(cfg: StageConfig) -> dict[str, Any]:
    """Return all settings that decide what is learned, by the names of the flags."""
    every: Mapping[str, Any] = json.loads(json.dumps(to_json(cfg)))  # as the manifest has it after reading: tuples are lists
    run = {f"run.{k}": v for k, v in every["run"].items() if k not in _RUN_FREE}
    return {k: v for k, v in every.items() if k not in FREE} | run
