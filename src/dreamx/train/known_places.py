"""Stage: learn places by heart. A field of each place learns what cameras in it see (``model.place_field``), ray by ray.

Loss: minus the logarithm of the light that stops where the ray's surface is, by its true depth; and the mean squared error of the
colour at the point where the field itself stops the ray. The first shapes the places, the second paints them. Rays whose depth
nobody knows (0, as in all of a film) are shaped by their colours alone (``train.photometric``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamx.bounds import InputFolder, OutputFolder, PositiveFloat, PositiveInt
from dreamx.checkpoints import native
from dreamx.clip import Clip, refuse_held_out
from dreamx.data.clip_list import clip_files
from dreamx.geometry.camera import Camera, rays
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.train.outputs import OptionalStart, claim
from dreamx.train.photometric import photometric_loss
from dreamx.train.run import Run
from dreamx.train.run_config import RunConfig


@dataclass(frozen=True)
class PlacesStage:
    """Learn places by heart."""

    run: RunConfig
    """Steps, seed, checkpoints: shared by all stages."""
    data: tuple[InputFolder, ...]
    """Folders of clips in these places and in any others. Where they have no depth, as films, shapes are learned from colours."""
    out: OutputFolder
    """Folder of the trained fields."""
    places: PlaceFieldConfig
    """Sizes of the fields."""
    start: OptionalStart = None
    """Folder of fields of the same sizes, to go on from; None: from new ones."""
    batch: PositiveInt = 8192
    """Rays in a step, all of one place."""
    shaped: PositiveInt = 4096
    """Rays of them from which densities are learned."""
    lr: PositiveFloat = 1e-2
    """Peak learning rate."""
    sheet_every: PositiveInt = 500
    """Steps between contact sheets."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("data is empty; give one folder of clips or more")
        if self.shaped > self.batch:
            raise ValueError(f"shaped must be {self.batch} (batch) or less, not {self.shaped}")


@dataclass(frozen=True)
class PlacePictures:
    """Pictures of one place: uint8 ``[F, 3, H, W]``, metres ``[F, H, W]`` float16 (0 where nobody knows them), cameras ``[F]`` in
    the axes of the place."""

    video: Tensor
    depth: Tensor
    camera: Camera
    reach: float | None = None  # metres from the middle to where the place ends, where the clips say it


@dataclass(frozen=True)
class Rays:
    """Rays of one place: their beginnings, directions (z = 1 for their cameras), colours in [-1, 1] ``[N, 3]``; ``depth [N]``,
    0 where nobody knows it."""

    place: int
    origin: Tensor
    ray: Tensor
    rgb: Tensor
    depth: Tensor
    jitter: Tensor  # [N, 1], in samples

    def select(self, which: Tensor) -> Rays:
        """The rays of a mask ``[N]``."""
        return Rays(self.place, *(x[which] for x in (self.origin, self.ray, self.rgb, self.depth, self.jitter)))


def main(cfg: PlacesStage) -> None:
    """Train, and write ``cfg.out`` and a sheet of true pictures above what the fields show."""
    pictures = load_pictures(cfg)
    if not cfg.places.half:
        cfg = replace(cfg, places=replace(cfg.places, half=fitting_halves(cfg.places, pictures)))
    earlier = _earlier(cfg)
    claim(cfg, "places", ["places"], cfg.data)
    run = Run(cfg.run)  # before any network: it seeds
    net = PlaceField(cfg.places)
    if earlier is not None:
        net.load_state_dict(earlier.state_dict())
    net = run.own(net, cfg.lr, name="places", methods=("view", "stop", "reaches", "colour"), whole=True)
    for batch in run.steps(lambda step: draw(pictures, cfg, run.generator(step))):
        loss, parts = field_loss(net, batch, cfg.shaped, run.step / cfg.run.steps)
        run.update(net, loss, parts)
        if (run.step + 1) % cfg.sheet_every == 0:
            show(run, net, pictures)
    show(run, net, pictures)
    done = PlaceField(cfg.places)
    with run.ema(net):
        done.load_state_dict(net.state_dict())
    fill_skies(done)
    run.export(cfg.out, {"places": (done, done.config)})


def load_pictures(cfg: PlacesStage) -> list[PlacePictures]:
    """All clips of each place, in the order of ``places.names``. ValueError where there are none, or they differ in size."""
    found: dict[str, list[Clip]] = {name: [] for name in cfg.places.names}
    for path in (path for folder in cfg.data for path in clip_files(folder)):
        clip = Clip.load(path)
        refuse_held_out(clip.seed)
        if clip.scene in found:
            found[clip.scene].append(clip)
            size, want = list(clip.video.shape[2:]), list(found[clip.scene][0].video.shape[2:])
            if size != want:
                raise ValueError(f"{path}: its pictures are {size} where others of this place are {want}; make them of one size")
    if missing := [name for name, clips in found.items() if not clips]:
        raise ValueError(f"data: no clip is of {missing[0]!r}, of places.names; simulate walks of that kind, or leave it out")
    return [_joined(clips) for clips in found.values()]


def fitting_halves(places: PlaceFieldConfig, pictures: list[PlacePictures]) -> tuple[float, ...]:
    """Metres from the middle of each place to its edges, by what its clips say (``extra["reach"]``) or by their depth.

    ValueError where nothing says it.
    """
    found: list[float] = []
    for name, s in zip(places.names, pictures, strict=True):
        some = torch.arange(0, len(s.depth), max(1, len(s.depth) // _LOOKED_AT))
        depth = s.depth[some].float()
        camera = s.camera[some]
        ray = rays(camera.lens, *depth.shape[1:]) @ camera.pose[:, None, :3, :3].mT
        point = camera.pose[:, None, None, :3, 3] + ray * depth[..., None]
        solid = point[(depth > 0) & (depth < places.far)][:, (0, 2)].abs().amax(1)
        ends = [] if s.reach is None else [s.reach]
        if len(solid):
            ends.append(float(solid.sort().values[int(_SEEN * (len(solid) - 1))]))
        if not ends:
            raise ValueError(
                f"places.half is missing, and clips of {name!r} do not say how large it is (they have no depth, and no reach as "
                "from dreamx data import --scene); give metres from the origin of their cameras to its edges"
            )
        found.append(ceil(10 * max(ends)) / 10)
    return tuple(found)


def draw(pictures: list[PlacePictures], cfg: PlacesStage, rng: torch.Generator) -> Rays:
    """``cfg.batch`` random rays of one random place; a pure function of ``rng``."""
    place = int(torch.randint(len(pictures), (1,), generator=rng))
    s, n = pictures[place], cfg.batch
    rows, cols = s.depth.shape[1:]
    frame, v, u = (torch.randint(most, (n,), generator=rng) for most in (len(s.depth), rows, cols))
    pose, (fx, fy, cx, cy) = s.camera.pose[frame], s.camera.lens[frame].unbind(-1)
    # As geometry.camera.rays, of one pixel each.
    way = torch.stack([((u + 0.5) / cols - cx) / fx, ((v + 0.5) / rows - cy) / fy, torch.ones(n)], -1)
    ray = (pose[:, :3, :3] @ way[..., None])[..., 0]
    rgb = s.video[frame, :, v, u].float() / 127.5 - 1
    return Rays(place, pose[:, :3, 3], ray, rgb, s.depth[frame, v, u].float(), torch.rand(n, 1, generator=rng) - 0.5)


def field_loss(net: PlaceField, batch: Rays, shaped: int, done: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of rays, and its parts: ``psnr`` of colours, dB, and ``near``: the share that stops within 10 % of a known depth.

    ``shaped``: of so many rays, the first, the place takes its shape. ``done``: the share of the training that is over; 0 to 1.
    """
    known = batch.depth > 0
    if bool(known.all()):
        return _loss_by_depth(net, batch, shaped)
    if not bool(known.any()):
        return _loss_by_colour(net, batch, shaped, done)
    share = float(known.float().mean())
    first, parts = _loss_by_depth(net, batch.select(known), max(1, round(share * shaped)))
    second, others = _loss_by_colour(net, batch.select(~known), max(1, round((1 - share) * shaped)), done)
    return share * first + (1 - share) * second, {k: torch.lerp(others.get(k, v), v, share) for k, v in parts.items()}


def _loss_by_depth(net: PlaceField, batch: Rays, shaped: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of rays whose depth is known."""
    c = net.config
    sky = batch.depth >= c.far
    shape = _shape_loss(net, batch, sky, shaped)
    depth = net.stop(batch.place, batch.origin, batch.ray)
    sure = torch.where(sky, depth >= c.far, (depth - batch.depth).abs() < _PAINTED * batch.depth + 0.1)
    made = net.colour(batch.place, batch.origin, batch.ray, depth)
    error = (made - batch.rgb).square().mean(1)
    colour = (error * sure).sum() / sure.sum().clamp(min=1)  # elsewhere the surface is another's
    psnr = -10 * torch.log10(error.detach().mean() / 4)
    near = torch.where(sky, depth >= c.far, (depth - batch.depth).abs() < 0.1 * batch.depth).float().mean()
    return shape + _COLOUR * colour, {"psnr": psnr, "near": near, "shape": shape.detach(), "colour": colour.detach()}


def _loss_by_colour(net: PlaceField, batch: Rays, shaped: int, done: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of rays of which only the colour is known. Its surfaces are painted more and more, as they are found."""
    b, n = batch, shaped
    with net.coarsened(b.place, _COARSE ** max(0.0, 1 - done / _REFINED)):
        shape = photometric_loss(net, b.place, b.origin[:n], b.ray[:n], b.rgb[:n], b.jitter[:n])
        depth = net.stop(b.place, b.origin, b.ray)
    colour = (net.colour(b.place, b.origin, b.ray, depth) - b.rgb).square().mean()
    psnr = -10 * torch.log10(colour.detach() / 4)
    loss = _COLOUR * (shape + min(1.0, done / _PAINTED_BY) * colour)
    return loss, {"psnr": psnr, "shape": shape.detach(), "colour": colour.detach()}


@torch.no_grad()
def fill_skies(net: PlaceField) -> None:
    """Give directions of the skies that no ray of training showed (still 0) the mean of the nearest that were shown."""
    for sky in net.sky:
        seen = (sky != 0).any(1, keepdim=True).to(sky)  # [1, 1, rows, cols]
        while bool(seen.any()) and not bool(seen.all()):
            total, count = (F.pad(F.pad(x, (1, 1, 0, 0), "circular"), (0, 0, 1, 1)) for x in (sky * seen, seen))
            count = 9 * F.avg_pool2d(count, 3, 1)
            sky.copy_(torch.where(seen > 0, sky, 9 * F.avg_pool2d(total, 3, 1) / count.clamp(min=1)))
            seen = torch.maximum(seen, (count > 0.5).to(seen))


def show(run: Run, net: PlaceField, pictures: list[PlacePictures]) -> None:
    """Write ``sheet.png``: true pictures, and below them what the fields show."""
    rng = run.generator(0)
    true: list[Tensor] = []
    made: list[Tensor] = []
    with run.ema(net):
        for place, s in enumerate(pictures):
            which = torch.randint(len(s.video), (2,), generator=rng)
            true.append(s.video[which].float() / 127.5 - 1)
            made.append(net.view(place, s.camera[which], *s.depth.shape[1:]).rgb)
    run.sheet("sheet", torch.cat([*true, *made]), columns=2 * len(pictures))


def _shape_loss(net: PlaceField, batch: Rays, sky: Tensor, count: int) -> Tensor:
    """Minus the logarithm of the light that stops about the true depth, of the first rays; of the sky's, that none stops."""
    depth = net.samples(batch.ray)
    ratio = float(depth[1] / depth[0])
    depth = depth * ratio ** batch.jitter[:count]  # [N, S]
    light = net.reaches(batch.place, batch.origin[:count], batch.ray[:count], depth)
    true, sky = batch.depth[:count, None].clamp(min=net.config.near), sky[:count]
    about = (depth > true / ratio**0.5) & (depth < true * ratio) & ~sky[:, None]  # two samples, where the depth is between
    return -light.masked_fill(~torch.cat([about, sky[:, None]], 1), -30.0).logsumexp(1).mean()


def _earlier(cfg: PlacesStage) -> PlaceField | None:
    """The fields of ``cfg.start``, if any. ValueError: of other places or sizes; how rays are sampled may differ."""
    if cfg.start is None:
        return None
    net = native.load(cfg.start, "places", PlaceField, PlaceFieldConfig)
    c = cfg.places
    if replace(net.config, near=c.near, far=c.far, samples=c.samples, refine=c.refine) != c:
        raise ValueError(f"start: its fields are of {', '.join(net.config.names)}, or of other sizes than places says")
    return net


def _joined(clips: list[Clip]) -> PlacePictures:
    depth = [c.video.new_zeros(c.video[:, 0].shape) if c.depth is None else c.depth for c in clips]
    camera = Camera(torch.cat([c.camera.pose for c in clips]).float(), torch.cat([c.camera.lens for c in clips]).float())
    reach = [r for c in clips if (r := _reach(c)) is not None]
    video = torch.cat([c.video for c in clips])
    return PlacePictures(video, torch.cat([d.half() for d in depth]), camera, max(reach, default=None))


def _reach(clip: Clip) -> float | None:
    """``extra["reach"]``, metres; None where it is not there, or no number of metres."""
    try:
        reach = float(clip.extra["reach"])
    except (KeyError, ValueError):
        return None
    return reach if 0 < reach < inf else None


_PAINTED = 0.1  # of the true depth: a ray that stops farther off shows another surface
_COLOUR = 10.0
_LOOKED_AT, _SEEN = 200, 0.98  # pictures by which a place is measured, and the share of their points that it has to hold
_COARSE, _REFINED = 8.0, 0.5  # cells of density at first, in those of the field; the share of the training when they are its own
_PAINTED_BY = 0.3  # share of the training when colours at the surfaces of films count in full
