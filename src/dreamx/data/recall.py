"""Play clips back as they would be played, and render what memory shows of each latent: what the transformer learns to use."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.clip import Clip
from dreamx.geometry.camera import relative_to
from dreamx.geometry.reproject import View
from dreamx.memory import Bank, MemoryConfig, drop_contradicted, hint_latents, recalled_view
from dreamx.model.depth_net import Depth
from dreamx.model.place_field import PlaceField
from dreamx.model.vae import GROUP, VAE
from dreamx.world import World


@torch.no_grad()
def played_back(
    vae: VAE,
    z: Tensor,
    shots: list[Clip],
    memory: MemoryConfig,
    deep: Depth | None = None,
    ahead: tuple[int, int] | None = None,
    places: PlaceField | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Render memory for each latent ``z [N, T, C, h, w]`` of N shots, as if all latents before it were generated without error.

    ``[N, T, C + 1, h, w]`` float16; nothing of the first. ``deep`` guesses the depth of the first frame. With ``ahead``, two
    tensors more: what it shows, before each latent, of one so many latents on, and which one that is, ``[N, T]``; else None.
    places: what they show goes before memory, of shots whose ``scene`` is one of them.
    """
    banks, state = [Bank(memory) for _ in shots], None
    steps = torch.zeros(len(shots), z.shape[1], dtype=torch.long)
    if ahead is not None:
        rngs = [torch.Generator().manual_seed(s.seed) for s in shots]  # by the scene, so that the parts may be made in any order
        steps = torch.stack([torch.randint(ahead[0], ahead[1] + 1, (z.shape[1],), generator=rng) for rng in rngs])
    # Counted from the latent before, where the camera is then.
    to = (torch.arange(z.shape[1]) - 1 + steps).clamp(0, z.shape[1] - 1)
    first = torch.stack([s.video[:1] for s in shots]).float() / 127.5 - 1  # [N, 1, 3, H, W]
    blank = torch.zeros_like(first[:, :, 0]) if deep is None else deep.metres(first[:, 0])[:, None]
    hint = View(first, blank, torch.ones_like(blank))
    out = [z.new_zeros(len(z), z.shape[2] + 1, *z.shape[3:]).float()]  # before the first latent nothing is remembered
    later = list(out)
    before = first[:, 0]
    for t in range(z.shape[1]):
        last = GROUP * t  # the video frame that closes this latent
        if t:
            hint = _recalled(banks, shots, [last] * len(shots), places)
            out.append(hint_latents(vae, before, hint)[:, 0])
            hint = drop_contradicted(memory, z[:, t : t + 1].float(), out[-1][:, None], hint)
            if ahead is not None:
                later.append(hint_latents(vae, before, _recalled(banks, shots, (GROUP * to[:, t]).tolist(), places))[:, 0])
        pixels, state = vae.push(z[:, t].float(), state, hint)
        before = pixels.rgb[:, -1].half().float()  # as a bank would give it back
        for i, (bank, s) in enumerate(zip(banks, shots, strict=True)):
            depth = pixels.depth if t or deep is None else blank
            bank.remember(pixels.rgb[i, -1], depth[i, -1], s.camera[last])  # decoded, not true: its mistakes are those of play
    hints = torch.stack(out, 1).half()
    return (hints, None, None) if ahead is None else (hints, torch.stack(later, 1).half(), to)


@torch.inference_mode()
def walked_along(world: World, shots: list[Clip]) -> Tensor:
    """Return what memory shows ``world`` of each latent, ``[N, T, C + 1, h, w]`` float16, as it walks along the shots itself.

    It begins with the first frame and the caption of each. Nothing is shown of the first latent, nor of what is left of a shot
    when no whole chunk is. ValueError for clips of another size than the world's.
    """
    out: list[Tensor] = []
    for shot in shots:
        if (size := tuple(shot.video.shape[-2:])) != world.size:
            here, there = ("{} x {}".format(*s) for s in (world.size, size))
            raise ValueError(f"world: its pictures are {here}, and those of the clips {there}; give clips of its size")
        world.reset(shot.video[0], shot.caption, shot.seed)
        path, at = relative_to(shot.camera, shot.camera[:1]), 1
        shown = torch.zeros(
            1 + (len(shot.video) - 1) // GROUP,
            world.vae.config.latent + 1,
            *(side // world.vae.config.shrink for side in world.size),
        )
        while at + (n := world.frames_per_step) <= len(path):
            dream = world.follow(path[at : at + n])
            assert dream.frames.hint is not None, "the world has memory"
            shown[1 + at // GROUP :][: n // GROUP] = dream.frames.hint[0]
            world.decode(dream)
            at += n
        out.append(shown.half())
    return torch.stack(out)


def _recalled(banks: list[Bank], shots: list[Clip], last: list[int], places: PlaceField | None) -> View:
    """Render each bank, or its place by heart, for the group of frames of its shot that ends with ``last``."""
    seen: list[View] = []
    for bank, s, f in zip(banks, shots, last, strict=True):
        path = s.camera[f - GROUP + 1 : f + 1]
        names = () if places is None else places.config.names
        by_heart = None
        if places is not None and s.scene in names:
            by_heart = places.view(names.index(s.scene), path, *s.video.shape[-2:])
        view, _ = recalled_view(bank, path, by_heart)
        assert view is not None, "a bank remembers at least the latest frame"
        seen.append(view)
    return View(*(torch.stack(x) for x in zip(*((v.rgb, v.depth, v.known) for v in seen), strict=True)))
