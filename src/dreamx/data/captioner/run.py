"""``dreamx data caption IN --out OUT``: a folder of clips in, the same clips with a caption and a story out.

Answers are kept in ``OUT/answers`` by what was asked, so that a run that was killed asks nothing twice.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.progress import track

from dreamx.clip import Clip
from dreamx.data.captioner.ask import Endpoint, describe
from dreamx.events import prompt


@dataclass(frozen=True)
class CaptionConfig:
    """Captions for clips of real video, by a vision model of your own or of somebody else."""

    clips: Annotated[Path, tyro.conf.Positional]
    """Folder of clips (.safetensors)."""
    out: Path
    """Folder to write."""
    endpoint: Endpoint = field(default_factory=Endpoint)
    """Whom to ask; by default a vLLM on this machine."""
    again: bool = False
    """Also caption clips that have a caption."""
    at_once: int = 4
    """Questions at a time."""

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise ValueError(f"caption.at_once must be 1 or more, not {self.at_once}")


def caption(cfg: CaptionConfig) -> dict[str, int]:
    """Caption every clip; returns how many were written and how many dropped, each with its reason."""
    names = sorted(p.stem for p in cfg.clips.glob("*.safetensors"))
    if not names:
        raise ValueError(f"clips: there are no clips (.safetensors) in {cfg.clips}; render or import some first")
    cfg.out.mkdir(parents=True, exist_ok=True)
    for half_written in [*cfg.out.glob("*.tmp"), *cfg.out.glob("answers/*.tmp")]:
        half_written.unlink()
    with ThreadPoolExecutor(cfg.at_once) as pool:
        reasons = list(track(pool.map(lambda n: _one(cfg, n), names), "clips", len(names)))
    dropped = {n: why for n, why in zip(names, reasons, strict=True) if why is not None}
    temporary = cfg.out / "dropped.tmp"
    temporary.write_text(json.dumps(dropped, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, cfg.out / "dropped.json")
    for name, why in dropped.items():
        print(f"dropped {name}: {why}")
    return {"clips": len(names) - len(dropped), "dropped": len(dropped)}


def _one(cfg: CaptionConfig, name: str) -> str | None:
    """Write one clip with its caption; the reason where it gets none."""
    target = cfg.out / f"{name}.safetensors"
    if target.exists():
        return None
    try:
        clip = Clip.load(cfg.clips / f"{name}.safetensors")
        if cfg.again or not clip.caption:
            found = describe(clip, cfg.endpoint, cfg.out / "answers")
            style = clip.style or found.style
            words = prompt(found.story, style)
            extra = {**clip.extra, "captioner": cfg.endpoint.model}
            scene = clip.scene or found.kind
            clip = replace(clip, caption=words, style=style, scene=scene, story=found.story, extra=extra)
        clip.save(target)
    except (ValueError, OSError) as e:
        return str(e)
    return None
