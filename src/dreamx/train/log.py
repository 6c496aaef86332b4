"""The log of a run: a JSON line a step for machines, a line now and then for people, contact sheets for the eye."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Mapping
from math import ceil
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dreamx import atomic
from dreamx.plaintext import parse_json


class TrainingLog:
    """``file`` gets one JSON object a step; standard output a line every ``every`` steps, with rate and time left.

    Opened at step ``start``, it drops rows of that step and later (a killed run logs beyond its last checkpoint) and
    a torn last line, so that the file always reads as one uninterrupted run.
    """

    def __init__(self, file: Path, start: int, steps: int, every: int) -> None:
        self.start, self.steps, self.every = start, steps, every
        rows = [row for row in _rows(file) if row["step"] < start]  # later ones will be made again
        atomic.write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
        self._file = file.open("a", buffering=1)  # a line at a time: a killed run loses at most one
        self._before = float(rows[-1]["seconds"]) if rows else 0.0
        self._clock = time.monotonic()
        self._means: dict[str, list[float]] = {}

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of one finished step (counted from 0)."""
        elapsed = time.monotonic() - self._clock
        row = {"step": step, **values, "seconds": round(self._before + elapsed, 3)}
        self._file.write(json.dumps(row) + "\n")
        for key, value in values.items():
            self._means.setdefault(key, []).append(value)
        done = step + 1
        if done == self.start + 1 or done % self.every == 0 or done == self.steps:
            rate = (done - self.start) / max(elapsed, 1e-9)
            means = "  ".join(f"{k} {sum(v) / len(v):.4g}" for k, v in self._means.items())
            self.say(f"step {done}/{self.steps}  {means}  {rate:.3g} steps/s  {_span((self.steps - done) / rate)} left")
            self._means.clear()

    def say(self, words: str) -> None:
        """One line for people."""
        tell(words)

    def close(self) -> None:
        """No more rows."""
        self._file.close()


def tell(words: str) -> None:
    """One line to standard output, at once even when that is a file. Where its terminal has just gone, SIGHUP is on its way."""
    try:
        print(words, flush=True)
    except OSError as e:
        if e.errno != errno.EIO:
            raise


def sheet(images: Tensor, columns: int) -> Image.Image:
    """Pictures ``[N, 3, H, W]`` (uint8, or float -1..1) side by side, ``columns`` a row, black where there are too few."""
    if images.ndim != 4 or images.shape[1] != 3 or not len(images) or columns < 1:
        raise ValueError(f"a sheet needs images [N, 3, H, W] and at least one column, not {tuple(images.shape)} and {columns}")
    images = images.detach().cpu()
    if images.is_floating_point():
        # NaN is black in a sheet, not an error: it should be seen.
        images = ((images.float().nan_to_num(-1).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    n, _, h, w = images.shape
    rows = ceil(n / columns)
    page = torch.zeros(rows * columns, 3, h, w, dtype=torch.uint8)
    page[:n] = images
    page = page.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2).reshape(rows * h, columns * w, 3)
    return Image.fromarray(page.numpy())


def _rows(file: Path) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            row = parse_json(line)
            rows.append({**row, "step": int(row["step"]), "seconds": float(row["seconds"])})
        except (ValueError, LookupError, TypeError, OverflowError):
            break  # a torn line is the last one: what follows it is not to be trusted
    return rows


def _span(seconds: float) -> str:
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours} h {m:02d} min" if hours else f"{m} min {s:02d} s" if m else f"{s} s"
