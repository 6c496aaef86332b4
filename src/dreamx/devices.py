"""The device to compute on, by its name or the best one."""

from __future__ import annotations

import torch


def best() -> torch.device:
    """The GPU if torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(words: str | None) -> torch.device:
    """The device of that name, or the best one. ValueError where there is none."""
    if words is None:
        return best()
    try:
        device = torch.device(words)
    except RuntimeError as e:
        raise ValueError(f"device: {words!r} is no device; say cuda, cuda:1 or cpu") from e
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device: {words} is not supported; say cuda, cuda:1 or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: {words} is not here; torch sees {torch.cuda.device_count() or 'no'} GPU")
    return device
