"""``dreamx data report IN --out page.html``: what was kept, what was dropped and why, in one page that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from importlib import resources
from pathlib import Path
from typing import Annotated

import av
import torch
import tyro
from torch.nn import functional as F

from dreamx import atomic
from dreamx.bounds import Ending, InputFolder, NonNegativeInt, OutputFile
from dreamx.clip import Clip
from dreamx.data.quality.gather import gathered
from dreamx.data.quality.limits import Limits
from dreamx.data.quality.verdict import SPREAD, ClipVerdict

_SIDE = 192  # pixels of a sample's longer side
_SECONDS = 6.0  # of a sample
_BINS = 24
_WORDS = {"aesthetic_stand_in": "aesthetic, by a stand-in (colour, contrast, sharpness)"}
_TAGS = ("kind", "style", "scene", "subject")


@dataclass(frozen=True)
class ReportConfig:
    """A page about a dataset or a folder of clips; what was not curated is judged for the page alone."""

    clips: Annotated[InputFolder, tyro.conf.Positional]
    """What `dreamx data curate` wrote, or any dataset or folder of clips (.safetensors)."""
    out: Annotated[OutputFile, Ending((".html", ".htm"))]
    """The HTML file to write."""
    limits: Limits = field(default_factory=Limits)
    """For what was not curated."""
    samples: NonNegativeInt = 6
    """Clips that play, for all that were kept and for each reason."""

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise ValueError(f"report.samples must be 0 or more, not {self.samples}")


def report(cfg: ReportConfig) -> None:
    """Write the page. ValueError where another file is in its place."""
    if cfg.out.suffix not in (".html", ".htm"):
        raise ValueError(f"out: {cfg.out} does not end in .html; name the page something.html")
    if cfg.out.exists() and not _is_ours(cfg.out):
        raise ValueError(f"out: {cfg.out} is there already and no page of this command; give another name")
    found = gathered(cfg.clips, cfg.limits)
    page = html(cfg.clips.resolve().name, found.verdicts, found.limits, found.clip, cfg.samples)
    atomic.write_text(cfg.out, page)
    print(cfg.out)


def html(title: str, verdicts: Mapping[str, ClipVerdict], limits: Limits, source: Callable[[str], Clip], samples: int) -> str:
    """The page about these verdicts; clips that play are read by ``source``."""
    kept = [n for n, v in verdicts.items() if not v.reasons]
    by_reason: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        if verdict.reasons:
            by_reason.setdefault(next(iter(verdict.reasons)), []).append(name)
    ordered = sorted(by_reason.items(), key=lambda x: (-len(x[1]), x[0]))
    parts = {
        "TITLE": escape(title),
        "TOTAL": f"{len(verdicts)}",
        "KEPT": f"{len(kept)}",
        "DROPPED": f"{len(verdicts) - len(kept)}",
        "SHARE": f"{100 * len(kept) / max(1, len(verdicts)):.0f}",
        "COUNTS": "".join(_bar(k, len(v), len(verdicts), "drop") for k, v in [*ordered]) or "<p>Nothing was dropped.</p>",
        "HISTOGRAMS": "".join(_histograms(verdicts, limits)),
        "TAGS": "".join(_tags([verdicts[n] for n in kept])),
        "GOOD": "".join(_card(n, verdicts[n], source) for n in _evenly(kept, samples)) or "<p>Nothing was kept.</p>",
        "BAD": "".join(
            f"<h3>{escape(k)} <small>{len(v)}</small></h3><div class=cards>"
            + "".join(_card(n, verdicts[n], source) for n in _evenly(v, samples))
            + "</div>"
            for k, v in ordered
        )
        or "<p>Nothing was dropped.</p>",
    }
    page = (resources.files("dreamx") / "data/quality/page.html").read_text(encoding="utf-8")
    for key, value in parts.items():
        page = page.replace(f"%{key}%", value)
    return page


def _is_ours(page: Path) -> bool:
    """Does it begin as the page does?"""
    if not page.is_file():
        return False
    ours = (resources.files("dreamx") / "data/quality/page.html").read_text(encoding="utf-8")
    head = ours[: ours.index("%TITLE%")].encode()
    with page.open("rb") as f:
        return f.read(len(head)) == head


def film(clip: Clip) -> bytes:
    """A small mp4 of the clip's beginning."""
    if not clip.video.numel():
        raise ValueError("there is nothing to see")
    video = clip.video[: max(1, round(_SECONDS * clip.fps))].float()
    scale = _SIDE / max(video.shape[2:])
    size = [max(2, round(s * scale / 2) * 2) for s in video.shape[2:]]
    small = F.interpolate(video, size=size, mode="nearest" if scale >= 1 else "area")
    frames = small.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        rate = Fraction(clip.fps).limit_denominator(1001)
        stream = file.add_stream("libx264", rate=rate, options={"crf": "24", "tune": "zerolatency"})
        stream.height, stream.width, stream.pix_fmt = size[0], size[1], "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return out.getvalue()


def _card(name: str, verdict: ClipVerdict, source: Callable[[str], Clip]) -> str:
    try:
        clip = source(name)
        data = base64.b64encode(film(clip)).decode()
        picture = f'<video muted loop autoplay playsinline src="data:video/mp4;base64,{data}"></video>'
        caption = clip.caption
    except (ValueError, OSError, IndexError, RuntimeError):
        picture, caption = "<div class=none>no picture</div>", ""
    said = "".join(f"<li><b>{escape(k)}</b> {escape(v)}</li>" for k, v in verdict.reasons.items())
    words = "" if verdict.tags is None else " · ".join(getattr(verdict.tags, k) for k in _TAGS)
    return (
        f"<figure>{picture}<figcaption><code>{escape(name)}</code><span>{escape(words)}</span>"
        f"<ul>{said}</ul><q>{escape(caption[:160])}</q></figcaption></figure>"
    )


def _bar(words: str, count: int, total: int, kind: str) -> str:
    share = 100 * count / max(1, total)
    return (
        f"<div class=row><span>{escape(words)}</span><i class={kind} style='width:{share:.2f}%'></i>"
        f"<b>{count}</b><small>{share:.1f} %</small></div>"
    )


def _tags(kept: list[ClipVerdict]) -> Iterator[str]:
    for name in _TAGS:
        counts = Counter(str(getattr(v.tags, name)) for v in kept if v.tags is not None)
        rows = "".join(_bar(word, n, len(kept), "keep") for word, n in counts.most_common())
        yield f"<div><h3>{name}</h3>{rows}</div>"


def _histograms(verdicts: Mapping[str, ClipVerdict], limits: Limits) -> Iterator[str]:
    """One drawing for each measure: kept and dropped on top of each other, and where the limit lies."""
    for name, limit_name in SPREAD.items():
        kept = [v.measures[name] for v in verdicts.values() if not v.reasons and name in v.measures]
        gone = [v.measures[name] for v in verdicts.values() if v.reasons and name in v.measures]
        values = sorted(kept + gone)
        if not values:
            continue
        limit = getattr(limits, limit_name)
        low = min(values[0], limit if limit is not None else values[0])
        high = values[min(len(values) - 1, int(0.98 * len(values)))]  # what is beyond stands in the last bin
        high = max(high, 1.15 * limit if limit is not None else high, low + 1e-9)
        bins = [[0, 0] for _ in range(_BINS)]
        for k, each in enumerate((kept, gone)):
            for x in each:
                bins[min(_BINS - 1, int((x - low) / (high - low) * _BINS))][k] += 1
        top = max(sum(b) for b in bins)
        drawn = ""
        for i, (good, bad) in enumerate(bins):
            a, b = 60 * good / top, 60 * bad / top
            drawn += f"<rect class=keep x={i * 10 + 0.5} y={60 - a:.1f} width=9 height={a:.1f} />"
            drawn += f"<rect class=drop x={i * 10 + 0.5} y={60 - a - b:.1f} width=9 height={b:.1f} />"
        if limit is not None:
            x = (limit - low) / (high - low) * 10 * _BINS
            drawn += f"<line x1={x:.1f} x2={x:.1f} y1=0 y2=60 /><title>the limit is {limit:g}</title>"
        said = f"limit {limit:g}" if limit is not None else "no limit"
        yield (
            f"<figure class=histogram><figcaption>{escape(_WORDS.get(name, name))} <small>{said}</small></figcaption>"
            f"<svg viewBox='0 0 {10 * _BINS} 60' preserveAspectRatio=none>{drawn}</svg>"
            f"<div><small>{low:.3g}</small><small>{high:.3g}{'+' if values[-1] > high else ''}</small></div></figure>"
        )


def _evenly(names: list[str], count: int) -> list[str]:
    if len(names) <= count:
        return names
    return [names[i * len(names) // count] for i in range(count)]
