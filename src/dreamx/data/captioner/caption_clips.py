"""``dreamx data caption IN --out OUT``: clips in, the same clips with a caption and a story out.

Of a dataset it makes a dataset, whose pictures are copied and whose ``meta/dropped.jsonl`` says which clips got none, and why; of
a folder of clips a folder, with the reasons in ``dropped.json``. Answers are kept in ``OUT/answers`` by what was asked, so that a
run that was killed asks nothing twice.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.progress import track

from dreamx import atomic, manifest
from dreamx.bounds import InputFolder, OutputFolder, Threads
from dreamx.clip import Clip
from dreamx.data.captioner.ask import Endpoint, Unreachable, describe
from dreamx.data.clip_list import clip_names, is_packed
from dreamx.data.output_options import is_dataset, open_folder, refuse_folder, sweep
from dreamx.events import prompt

if TYPE_CHECKING:
    from dreamx.data.engine import Drop


@dataclass(frozen=True)
class CaptionConfig:
    """Captions for clips of real video, by a vision model of your own or of somebody else."""

    clips: Annotated[InputFolder, tyro.conf.Positional]
    """Dataset, or folder of clips (.safetensors)."""
    out: OutputFolder
    """Of the same kind, to write."""
    endpoint: Endpoint = field(default_factory=Endpoint)
    """Whom to ask; by default a vLLM on this machine."""
    again: bool = False
    """Also caption clips that have a caption."""
    at_once: Threads = 4
    """Questions at a time."""

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise ValueError(f"caption.at_once must be 1 or more, not {self.at_once}")


def caption(cfg: CaptionConfig) -> dict[str, int]:
    """Caption every clip; returns how many were written and how many dropped, each with its reason.

    ValueError where nobody answers at all: then it ends there, and can be run again.
    """
    if is_packed(cfg.clips):
        return _dataset(cfg)
    names = clip_names(cfg.clips)
    manifest.refuse_input(cfg.out, [cfg.clips])
    e = cfg.endpoint
    about = {"clips": cfg.clips.resolve().as_posix(), "model": e.model, "frames": e.frames, "side": e.side, "again": cfg.again}
    open_folder(cfg.out, "clips of dreamx data caption", (r"dropped\.json",), about, "answers", stems=set(names))
    pool = ThreadPoolExecutor(cfg.at_once)
    try:
        reasons = list(track(pool.map(lambda n: _one(cfg, n), names), "clips", len(names)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # also where it is interrupted: an answer may take minutes
    dropped = {n: why for n, why in zip(names, reasons, strict=True) if why is not None}
    atomic.write_text(cfg.out / "dropped.json", json.dumps(dropped, indent=1, ensure_ascii=False) + "\n")
    for name, why in dropped.items():
        print(f"dropped {name}: {why}")
    return {"clips": len(names) - len(dropped), "dropped": len(dropped)}


def _one(cfg: CaptionConfig, name: str) -> str | None:
    """Write one clip with its caption; the reason where it gets none."""
    target = cfg.out / f"{name}.safetensors"
    if target.exists():
        return None
    try:
        captioned(Clip.load(cfg.clips / f"{name}.safetensors"), cfg.endpoint, cfg.out / "answers", cfg.again).save(target)
    except Unreachable:
        raise
    except (ValueError, OSError) as e:
        return str(e)
    return None


def captioned(clip: Clip, endpoint: Endpoint, answers: Path, again: bool) -> Clip:
    """The clip with a caption and a story; with its own, if it has one and not ``again``. ValueError as of ``describe``."""
    if clip.caption and not again:
        return clip
    found = describe(clip, endpoint, answers)
    style = clip.style or found.style
    return replace(
        clip,
        caption=prompt(found.story, style),
        style=style,
        scene=clip.scene or found.kind,
        story=found.story,
        extra={**clip.extra, "captioner": endpoint.model},
    )


@dataclass(frozen=True)
class Captioned:
    """``captioned`` as a stage of a run: only words change, so the run copies the pictures. Its fields are what the words depend
    on; whom it asks and where answers are kept is not of them."""

    model: str
    frames: int
    side: int
    again: bool
    ask: InitVar[tuple[Endpoint, Path]]

    def __post_init__(self, ask: tuple[Endpoint, Path]) -> None:
        self.__dict__["_ask"] = ask

    def __call__(self, clip: Clip) -> Clip | Drop:
        """The clip with its words. ``Halt`` where nobody answers at all."""
        from dreamx.data.engine import Halt  # here, because a folder of clips is captioned without their libraries

        endpoint, answers = self.__dict__["_ask"]
        try:
            return captioned(clip, endpoint, answers, self.again)
        except Unreachable as e:
            raise Halt(str(e)) from e


def _dataset(cfg: CaptionConfig) -> dict[str, int]:
    """The same from a dataset into a dataset."""
    from dreamx.data.dataset import read
    from dreamx.data.engine import Local, run_engine

    refuse_folder(cfg.out)
    source = read(str(cfg.clips))
    if (answers := (cfg.out / "answers").absolute()).is_dir() and is_dataset(cfg.out):
        sweep(answers)
    e = cfg.endpoint
    stage = Captioned(e.model, e.frames, e.side, cfg.again, (e, answers))
    patience = e.tries * e.patience + e.wait * 2.0**e.tries + 60
    count = run_engine(source, (stage,), str(cfg.out), Local(cfg.at_once, patience))
    print(f"{count.kept} clips in {cfg.out}, {count.dropped} dropped (reasons in meta/dropped.jsonl)")
    return {"clips": count.kept, "dropped": count.dropped}
