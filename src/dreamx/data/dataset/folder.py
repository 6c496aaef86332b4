"""A folder of ``.safetensors`` clips (``dreamx data render``) read like a dataset."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from dreamx import tensor_file
from dreamx.clip import Clip
from dreamx.config import from_json
from dreamx.data.dataset.dataset import within
from dreamx.data.dataset.part import EXACT_KEYS, ClipRow, ClipRows
from dreamx.events import Story
from dreamx.geometry.camera import Camera
from dreamx.plaintext import cause, parse_json, read_json, readable


class Folder(ClipRows):
    """The clips of a folder in order of name, as ``dataset.Clips``; ValueError, with the file, for what cannot be read."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.names = sorted(p.stem for p in self.folder.glob("*.safetensors"))
        if not self.names:
            raise ValueError(f"no clips (*.safetensors) in {folder}; render some first with `dreamx data render`")

    def __len__(self) -> int:
        return len(self.names)

    def file(self, i: int) -> Path:
        """Return the file of clip ``i``."""
        return self.folder / f"{self.names[i]}.safetensors"

    @cached_property
    def fps(self) -> float:
        """Frames a second, those of the first clip."""
        return self.row(0).fps

    @property
    def dropped(self) -> list[dict[str, Any]]:
        """Read the record of dropped clips, as ``Dataset.dropped``: by ``curate`` and ``import`` (``records``), by ``caption``
        (``dropped.json``). ValueError where that cannot be read."""
        found: list[dict[str, Any]] = []
        path = self.folder / "limits.json"
        try:
            place = {"place": read_json(path)["clips"]} if path.exists() else {}
            for path in sorted(self.folder.glob("records/*.json")):
                said = read_json(path)
                if said.get("reason"):
                    found.append({"name": path.stem, "stage": "import", "rule": "", "reason": said["reason"]})
                for rule, why in list(said.get("reasons", {}).items())[:1]:
                    words = {k: json.dumps(said[k]) for k in ("measures", "reasons")} | {"content": said["content"]}
                    words |= {f"tag_{k}": str(v) for k, v in (said["tags"] or {}).items()}
                    found.append({"name": path.stem, "stage": "curate", "rule": rule, "reason": why, "extra": words, **place})
            if (path := self.folder / "dropped.json").exists():
                said = read_json(path)
                found += [{"name": k, "stage": "caption", "rule": "", "reason": str(v)} for k, v in said.items()]
        except Exception as e:
            raise ValueError(f"{path}: it should say what was dropped, and cannot be read ({cause(e)})") from e
        return found

    def row(self, i: int) -> ClipRow:
        """Return the metadata of clip ``i``; reads the file's head only."""
        path = self.file(i)
        with readable(path, "clip", "render it again"):
            with tensor_file.opened(path) as f:
                words = parse_json(f.metadata()["clip"])
                keys = set(f.keys())
                frames, _, h, w = f.get_slice("video").get_shape()
            story = from_json(Story, words["story"]) if "story" in words else None
            entities = {int(k): v for k, v in words.get("entities", {}).items()}
            said = {k: words[k] for k in ("caption", "style", "scene", "seed", "source", "licence", "extra")}
            has = tuple(k for k in (*EXACT_KEYS, "subject") if k in keys)
            return ClipRow(self.names[i], frames, w, h, float(words["fps"]), story=story, entities=entities, has=has, **said)

    def clip(self, i: int) -> Clip:
        return Clip.load(self.file(i))

    def window(self, i: int, start: int, count: int) -> Clip:
        return window(self.clip(i), start, count, self.names[i])

    def cameras(self, i: int) -> Camera:
        with readable(self.file(i), "clip", "render it again"), tensor_file.opened(self.file(i)) as f:
            return Camera(f.get_tensor("pose"), f.get_tensor("lens"))

    def encoded(self, i: int) -> dict[str, bytes]:
        """Nothing is encoded here."""
        return {}


def window(clip: Clip, start: int, count: int, name: str = "") -> Clip:
    """Frames ``start`` to ``start + count`` of a clip that is in memory, times and contacts counted from there. ValueError, with
    the clip's ``name``, where it has not so many."""
    if not (0 <= start < start + count <= len(clip.video)):
        raise ValueError(f"window {start} to {start + count} is outside clip {name!r} of {len(clip.video)} frames")
    return within(clip.at(slice(start, start + count)), start, len(clip.video))
