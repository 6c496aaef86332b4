"""Encode rendered memory for the decoder: features at every level, and the pixels themselves, to keep where right.

Our addition to the paper's system: DreamX-World 1.0 packs retrieved latents; here views of the past, moved by their depth to
where the camera is now (``geometry.reproject``), reach the transformer as latents (``Frames.hint``) and the decoder as pixels.
A latent cannot carry fine texture; a remembered pixel can.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Planes of a hint a frame: red, green, blue, depth plane, where the depth is known, where the colour is known.
PLANES = 6
#: Planes of a decoder with hints a frame: red, green, blue, depth plane, and how far to trust the hint's colour and depth.
GATED = 6


class HintEncoder(nn.Module):
    """Hints to features of the decoder's levels, fine to coarse. Its last layers start at zero: it adds nothing at first."""

    def __init__(self, group: int, widths: list[int], patch: int) -> None:
        super().__init__()
        # No biases anywhere: unknown (0) stays 0.
        self.into = nn.Conv2d(PLANES * group, widths[0], 2 * patch, patch, patch // 2, bias=False)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, 2, bias=False) for a, b in pairwise(widths))
        self.say = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1, bias=False) for w in widths)
        for say in self.say:
            nn.init.zeros_(say.weight)  # pyright: ignore[reportArgumentType]

    def forward(self, planes: Tensor) -> list[Tensor]:
        """``[N, GROUP PLANES, H, W]`` -> one ``[N, C, h, w]`` for each level. Where nothing is known (all 0), all 0."""
        x = F.silu(self.into(planes))  # silu(0) is 0
        out = [self.say[0](x)]
        for down, say in zip(self.down, list(self.say)[1:], strict=True):
            x = F.silu(down(x))
            out.append(say(x))
        return out


def planes_of(rgb: Tensor, plane: Tensor, deep: Tensor, known: Tensor) -> Tensor:
    """``rgb [N, 3, H, W]`` and ``plane``, ``deep``, ``known [N, H, W]`` -> ``[N, PLANES, H, W]``, 0 where nothing is known."""
    return torch.cat([rgb * known[:, None], torch.stack([plane * deep, deep, known], 1)], 1)


def gated(made: Tensor, hint: Tensor) -> Tensor:
    """Planes ``[N, GATED, H, W]`` that the decoder made and those of the hint ``[N, PLANES, H, W]`` -> ``[N, 4, H, W]``.

    The hint gets the share that the decoder's gates give it, and none where it is unknown.
    """
    # One gate for the three colours, one for depth: [N, 4, H, W]
    share = torch.cat([made[:, 4:5].expand(-1, 3, -1, -1), made[:, 5:6]], 1).sigmoid()
    # A gate that is open where nothing is known shows nothing.
    known = torch.cat([hint[:, 5:6].expand(-1, 3, -1, -1), hint[:, 4:5]], 1)
    return torch.lerp(made[:, :4], hint[:, :4], share * known)
