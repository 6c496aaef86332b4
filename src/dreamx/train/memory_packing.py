"""Packed samples: recalled frames, clean history and noisy targets, ``z_pack = [z_M | z_H | z_C]``, from long clips.

DreamX-World 1.0, memory section. The targets are the last chunks of a stretch, taught by teacher forcing; each has recalled
frames of its own, from before the stretch, as a world recalls them: by view overlap, and never from the window. The paper does
not say how samples are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dreamx.bounds import LatentCount, PositiveInt, Probability
from dreamx.flow import draw_sigma, mix
from dreamx.frames import Frames, cat
from dreamx.geometry.retrieval import retrieve, view_shares
from dreamx.model.attention import Attend, LaneMask, MaskedAttention
from dreamx.model.masks import teacher_forced, with_memory
from dreamx.model.packed_config import PackedMemoryConfig
from dreamx.rollout import noise_like
from dreamx.train.augment import drop_hints, drop_text
from dreamx.train.latents import LatentClips
from dreamx.train.teacher_forcing import ForcedBatchConfig
from dreamx.train.trained_networks import Predictor


@dataclass(frozen=True)
class PackingConfig(ForcedBatchConfig):
    """Batches of packed samples."""

    targets: LatentCount = 4
    """Chunks of a stretch that are made, its last ones; those before them are history."""
    revisits: Probability = 0.5
    """Share of clips that are the best of ``tries``: whose targets see most of what was seen before the stretch."""
    tries: PositiveInt = 8
    """Stretches that such a clip is the best of."""
    drop_memory: Probability = 0.2
    """Probability of recalling nothing, a batch; else from one frame to all are recalled, as many in each clip."""
    irrelevant: Probability = 0.1
    """Probability that what a chunk recalls is drawn at random."""

    def __post_init__(self) -> None:
        self.check_windows("packing")


@dataclass(frozen=True)
class PackedBatch:
    """One batch: ``memory [B, J K]`` (None: nothing is recalled), ``past [B, H]`` and ``noisy [B, J chunk]``, of J chunks.

    ``target``: the velocity of ``noisy``; ``place [J chunk]``: the number of the chunk that each of its frames is in.
    """

    memory: Frames | None
    past: Frames
    noisy: Frames
    target: Tensor
    place: Tensor
    prompts: list[str]
    table: Attend

    def velocity(self, nets: Predictor) -> Tensor:
        """Predict the velocity of the targets alone, ``[B, J chunk, C, h, w]``."""
        parts = (self.past, self.noisy) if self.memory is None else (self.memory, self.past, self.noisy)
        return nets(cat(*parts), self.prompts, self.table)[:, -len(self.noisy) :]


def check_packing(cfg: PackingConfig, packed: PackedMemoryConfig, data: LatentClips) -> None:
    """ValueError where stretches, or what is before them, do not fit the clips."""
    frames, length = data.frames, data.z.shape[1]
    if frames % cfg.chunk or frames <= cfg.targets * cfg.chunk:
        raise ValueError(
            f"frames: {frames} latents are not more than {cfg.targets} whole chunks of {cfg.chunk} and history; give a "
            f"multiple of {cfg.chunk} above {cfg.targets * cfg.chunk}, or lower packing.targets"
        )
    if length < frames + packed.frames:
        raise ValueError(
            f"frames: clips have {length} latents, too few for a stretch of {frames} with {packed.frames} to recall before it; "
            f"lower frames to {max(1, length - packed.frames)} or packed.frames"
        )


def pack(cfg: PackingConfig, packed: PackedMemoryConfig, data: LatentClips, rng: torch.Generator) -> PackedBatch:
    """A batch, a pure function of ``rng``; ``data.frames`` is the length of a stretch."""
    t, n = data.frames, cfg.targets * cfg.chunk
    row, start = _stretches(cfg, packed, data, rng)
    known = drop_hints(_taken(data, row, start[:, None] + torch.arange(t)), cfg.drop_hint, cfg.hint_noise, rng)
    count = int(torch.randint(1, packed.frames + 1, (1,), generator=rng))
    count = 0 if float(torch.rand(1, generator=rng)) < cfg.drop_memory else count
    memory, gaps = _recalled(cfg, packed, data, row, start, count, rng)
    made, past = known[slice(t - n, t)], known[slice(0, t - cfg.chunk)]
    sigma = draw_sigma((cfg.batch, cfg.targets), cfg.shift, rng).repeat_interleave(cfg.chunk, 1)
    noisy, target = mix(made, sigma, noise_like(made.z, rng))
    stale = cfg.history_noise * torch.rand(cfg.batch, 1, generator=rng).expand(cfg.batch, len(past))
    past, _ = mix(past, stale, noise_like(past.z, rng))
    window, sinks = cfg.windows[int(torch.randint(len(cfg.windows), (1,), generator=rng))]
    place = torch.arange(cfg.targets).repeat_interleave(cfg.chunk)
    visible = packed_table(t, cfg.chunk, cfg.targets, (window, sinks), count)
    gaps = torch.cat([gaps, gaps.new_zeros(cfg.batch, len(past) + n)], 1)
    table: Attend = MaskedAttention(visible, gaps=gaps if count else None, rule=packed.gaps)
    if float(torch.rand(1, generator=rng)) < cfg.drop_view:
        table = LaneMask(table, "view")
    captions = [data.captions[i] for i in row.tolist()]
    return PackedBatch(memory, past, noisy, target, place, drop_text(captions, cfg.drop_text, rng), table)


def _taken(data: LatentClips, row: Tensor, time: Tensor) -> Frames:
    """Clean frames ``[B, T]`` at ``time [B, T]`` of clips ``row [B]``, with their own time index."""
    z = data.z[row[:, None], time].float()
    hint = None if data.hint is None else data.hint[row[:, None], time].float()
    return Frames(z, z.new_zeros(z.shape[:2]), time, data.camera[row[:, None], time], hint)


def _stretches(cfg: PackingConfig, packed: PackedMemoryConfig, data: LatentClips, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw clips and the first frames of stretches ``[B]``; some are those of several that see most of what was seen before."""
    size, first, last = (cfg.batch, cfg.tries), packed.frames, data.z.shape[1] - data.frames
    row = torch.randint(len(data.z), size, generator=rng)
    start = torch.randint(first, last + 1, size, generator=rng)
    end = data.frames - cfg.targets * cfg.chunk
    time = start[..., None] + torch.arange(end, data.frames)  # [B, tries, targets]
    before = torch.arange(last)  # [N]
    shares = view_shares(data.camera[row[..., None], time], data.camera[row[..., None], before])  # [B, tries, N]
    # Rounded, so that equal ones are equal on every machine, and the first is taken.
    best = (1e4 * shares.masked_fill(before >= start[..., None], 0).amax(-1)).round().argmax(1)
    chosen = torch.where(torch.rand(cfg.batch, generator=rng) < cfg.revisits, best, 0)[:, None]
    return row.gather(1, chosen)[:, 0], start.gather(1, chosen)[:, 0]


def _recalled(
    cfg: PackingConfig,
    packed: PackedMemoryConfig,
    data: LatentClips,
    row: Tensor,
    start: Tensor,
    count: int,
    rng: torch.Generator,
) -> tuple[Frames | None, Tensor]:
    """Frames ``[B, J count]`` for the J chunks, from before the stretch, in the order of time; and their gaps to the chunks."""
    time = torch.zeros(cfg.batch, cfg.targets, count, dtype=torch.long)
    odd = torch.rand(cfg.batch, cfg.targets, generator=rng) < cfg.irrelevant
    begin = start[:, None] + data.frames - cfg.chunk * torch.arange(cfg.targets, 0, -1)  # [B, J]: first frame of each chunk
    for b, j in torch.cartesian_prod(torch.arange(cfg.batch), torch.arange(cfg.targets)).tolist():
        seen = data.camera[int(row[b])]
        others = torch.randperm(int(start[b]), generator=rng).tolist()
        chunk = seen[int(begin[b, j]) : int(begin[b, j]) + cfg.chunk]
        past = seen[: int(start[b])]
        found = [] if odd[b, j] or not count else retrieve(chunk, past, count, packed.least, packed.again)
        # Where too little overlaps the rest is drawn: the network has to bear what does not help.
        found = [*found, *(i for i in others if i not in found)][:count]
        time[b, j] = torch.tensor(sorted(found), dtype=torch.long)
    gap = begin[..., None] - time  # [B, J, count], falling
    if packed.gaps.drawn is not None and count:
        gap = _drawn(packed.gaps.drawn, gap, rng)
    if not count:
        return None, gap.flatten(1)
    memory = replace(_taken(data, row, time.flatten(1)), hint=None)
    return replace(memory, index=(begin[..., None] - gap).flatten(1)), gap.flatten(1)


def _drawn(most: int, gap: Tensor, rng: torch.Generator) -> Tensor:
    """Gaps ``[B, J, K]`` drawn between the smallest true one and ``most``, falling as the true ones do."""
    low = int(gap.min())
    drawn = torch.randint(low, max(most, low) + 1, gap.shape, generator=rng)
    return drawn.sort(-1, descending=True).values


def packed_table(frames: int, chunk: int, targets: int, past: tuple[int, int], count: int) -> Tensor:
    """Mask ``[M + H + C, M + H + C]`` over ``[memory | history | targets]`` of a stretch of so many frames.

    targets: chunks that are made, each with ``count`` recalled frames that it alone sees; past: window and sinks.
    """
    both, made = teacher_forced(frames, chunk, *past), chunk * targets
    kept = [*range(frames - chunk), *range(2 * frames - made, 2 * frames)]  # nobody sees the last chunk's clean frames
    place, owner = (torch.arange(targets).repeat_interleave(n) for n in (chunk, count))  # the chunk of each frame
    history = torch.zeros(frames - chunk, len(owner), dtype=torch.bool)
    return with_memory(both[kept][:, kept], torch.cat([history, place[:, None] == owner[None]]))
