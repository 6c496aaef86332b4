"""A file of latents: what is odd in it is said in one sentence when it is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamx.data.latent_file import LatentRow, Latents
from dreamx.geometry.camera import level


def latents() -> Latents:
    """Two clips of three latents, with all that a file may hold."""
    z, hint = torch.zeros(2, 3, 4, 2, 2).half(), torch.zeros(2, 3, 5, 2, 2).half()
    camera, path = (level().map(lambda x, n=n: x.expand(2, n, *x.shape).clone()) for n in (3, 9))
    rows = (LatentRow("a room", "plain", "room", 7), LatentRow("a sea", "plain", "sea", 8))
    return Latents(z, camera, rows, "abc", hint, hint.clone(), torch.zeros(2, 3, dtype=torch.int64), ("x",), path)


def test_what_is_odd_in_it_is_named(tmp_path: Path) -> None:
    whole = latents()
    whole.save(tmp_path / "whole.safetensors")
    assert torch.equal(Latents.load(tmp_path / "whole.safetensors").z, whole.z)
    nan = torch.full_like(whole.z, torch.nan)
    assert whole.hint is not None and whole.path is not None
    for odd, why in (
        ({"z": whole.z[0]}, r"z is \[3, 4, 2, 2\], and latents are \[N, T, C, h, w\]"),
        ({"z": whole.z[:1]}, "it has captions of 2 clips and latents of 1"),
        ({"z": whole.z[:, :, :3].clone()}, r"hint is \[2, 3, 5, 2, 2\] where it must be \[2, 3, 4, 2, 2\]"),
        ({"z": whole.z.int()}, "z holds int32, no fractions"),
        ({"z": nan}, "z holds NaN or infinity"),
        ({"hint": whole.hint / 0}, "hint holds NaN or infinity"),
        ({"camera": whole.camera[:, :2].map(torch.clone)}, r"pose is \[2, 2, 4, 4\] where it must be \[2, 3, 4, 4\]"),
        ({"path": whole.path[:1]}, r"path_pose is \[1, 9, 4, 4\] where it must be \[2, 9, 4, 4\]"),
        ({"to": None}, "it holds ahead alone"),
        ({"to": torch.full((2, 3), 3)}, "to must hold indices of the 3 latents"),
    ):
        replace(whole, **odd).save(tmp_path / "odd.safetensors")
        with pytest.raises(ValueError, match=f"odd.safetensors: not a readable file of latents .{why}") as caught:
            Latents.load(tmp_path / "odd.safetensors")
        assert "Error" not in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-9])
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    for name in ("cut", "none"):
        with pytest.raises(ValueError, match="not a readable file of latents") as caught:
            Latents.load(tmp_path / f"{name}.safetensors")
        assert "Error" not in str(caught.value)
