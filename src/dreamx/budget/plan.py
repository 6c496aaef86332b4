"""A model to be run: configs of its networks, picture size, dtype, chunks. No weights are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from dreamx import released
from dreamx.budget.count import Work, count
from dreamx.checkpoints import components, native, official_names, transformer, weight_files
from dreamx.frames import clean
from dreamx.geometry.camera import level
from dreamx.model.attention_backends import TORCH
from dreamx.model.causal_config import CausalConfig, TransformerMeta
from dreamx.model.dit import DiT, DiTConfig, ViewConfig
from dreamx.model.positions import PositionEncoding
from dreamx.model.vae import GROUP, VAE, VAEConfig
from dreamx.model.wan_vae import WanVAE, WanVAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder
from dreamx.session import WorldConfig, find

#: The released causal model, DreamX-World-5B, and the size of its pictures.
W5B = DiTConfig(channels=48, width=3072, heads=24, layers=30, mlp=14336, text=4096, view=ViewConfig(768, 24))
W5B_SIZE = (704, 1280)
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
#: Parameters of its text encoder, umT5-XXL.
UMT5_XXL = 5_680_910_336


@dataclass(frozen=True)
class Plan:
    """A model to be run, as far as memory and time depend on it.

    size: height and width in pixels. decoder: None where there is none to count. words: text tokens. reader: parameters of the
    text encoder, and ``freed`` whether it goes again after it has read. passes: of the network, for each chunk of ``past``.
    fps: video frames a second.
    folder: where weights are, None where there are none; ``world``, whether as a world's.
    lent: the blocks of the transformer rest in main memory, or in its file, and come one by one (``fast.offload``).
    """

    name: str
    dit: DiTConfig
    past: CausalConfig
    decoder: VAEConfig | WanVAEConfig | None
    size: tuple[int, int]
    dtype: torch.dtype
    words: int
    reader: int
    freed: bool
    passes: int
    fps: float = 16.0
    folder: Path | None = None
    world: bool = False
    lent: bool = False

    @property
    def shrink(self) -> int:
        """Pixels along the side of one latent place."""
        return 16 if self.decoder is None else self.decoder.shrink

    @property
    def group(self) -> int:
        """Video frames of one latent frame of a running stream."""
        return self.decoder.group if isinstance(self.decoder, WanVAEConfig) else GROUP

    @property
    def latent(self) -> tuple[int, int]:
        """Height and width of a latent frame."""
        shrink = self.shrink
        for side, name in zip(self.size, ("height", "width"), strict=True):
            if side < 1 or side % (shrink * self.dit.patch):
                raise ValueError(f"size: the {name} of {side} must be a multiple of {shrink * self.dit.patch} for {self.name}")
        return self.size[0] // shrink, self.size[1] // shrink

    @property
    def tokens(self) -> int:
        """Tokens of one latent frame."""
        h, w = self.latent
        return h * w // self.dit.patch**2

    @property
    def window(self) -> int:
        """Most latent frames seen at once. Without a limit: those of 5 seconds."""
        return self.past.window or 21  # 81 frames at 16 a second

    @property
    def recalled(self) -> int:
        """Most latent frames that packed memory puts before the window."""
        return 0 if self.past.packed is None else self.past.packed.frames

    def weights(self) -> int:
        """Parameters of the transformer."""
        return _parameters(self.dit)

    def decoder_weights(self) -> int:
        """Parameters of the autoencoder."""
        return 0 if self.decoder is None else _decoder_parameters(self.decoder)

    def kept(self) -> int:
        """Numbers that the past holds when the window is full: raw keys and values, and those that are encoded for the chunk.

        With them those of recalled frames: as shown, as encoded, and twice as many that are kept to be recalled again.
        """
        c, view, m = self.dit, self.dit.view, self.recalled
        wide, apart = c.layers * c.width, 0
        if view is not None:
            lane = (c.layers if view.layers is None else len(view.layers)) * view.width
            wide, apart = (wide, lane) if "view" in self.past.alone else (wide + lane, 0)
        raw = self.window - self.past.chunk  # frames of the past when a pass begins
        # Keys and values: raw ones of the past, the encoded window, and the raw ones of the running pass.
        held = wide * (raw + (self.window if raw or m else 0) + self.past.chunk)
        return 2 * self.tokens * (held + 4 * m * (wide + apart) + (apart * self.past.chunk if m else 0))

    def one_pass(self) -> Work:
        """One pass over a chunk while the window is full. Layers that are alike are counted once."""
        view, layers = self.dit.view, self.dit.layers
        if layers <= 2 or (view is not None and view.layers is not None):
            return self._counted()
        # What the second layer adds, every further one adds: 30 layers cost the time of 3.
        one, two = (replace(self, dit=replace(self.dit, layers=n))._counted() for n in (1, 2))
        return Work(
            one.flop + (layers - 1) * (two.flop - one.flop),
            one.calls + (layers - 1) * (two.calls - one.calls),
            one.moved + (layers - 1) * (two.moved - one.moved),
            two.peak,
        )

    def _counted(self) -> Work:
        h, w = self.latent
        with torch.device("meta"):
            dit = DiT(self.dit).to(self.dtype)
            z = torch.empty(1, self.past.chunk, self.dit.channels, h, w, dtype=self.dtype)
            camera = level().to("meta").map(lambda x: x.expand(1, self.past.chunk, *x.shape))
            frames, text = clean(z, camera), torch.empty(1, self.words, self.dit.text, dtype=self.dtype)
        attend = _Counting(self)
        work = count(lambda: dit(frames, text, attend))
        return replace(work, flop=work.flop + attend.flop)

    def one_decoding(self) -> Work | None:
        """Decoding one latent frame of a running stream, whose state counts as needed; None where there is no decoder."""
        if self.decoder is None:
            return None
        net, z = decoder_of(self.decoder).to(self.dtype), torch.empty(1, self.decoder.latent, *self.latent, device="meta")
        z = z.to(self.dtype)
        with torch.no_grad(), torch.device("meta"):
            _, state = net.push(z, None)
            work = count(lambda: net.push(z, state))  # the second latent, since the first makes one frame instead of 4
        return replace(work, peak=work.peak + sum(x.nbytes for x in state))


class _Counting:
    """Counts attention over as many tokens as there would be; computes none."""

    backend = TORCH

    def __init__(self, plan: Plan) -> None:
        self.plan, self.flop = plan, 0.0

    def __call__(self, slot: tuple[int, str], q: Tensor, k: Tensor, v: Tensor, place: PositionEncoding) -> Tensor:
        q = place.query(q)  # positions are work, too
        k, v = place.key(k), place.value(v)
        frames = self.plan.recalled + (self.plan.past.chunk if slot[1] in self.plan.past.alone else self.plan.window)
        b, t, p, n, d = q.shape
        self.flop += 4.0 * b * n * d * t * p * frames * p  # two products, each a multiplication and an addition
        return place.out(torch.empty_like(q))


@cache
def _parameters(config: DiTConfig) -> int:
    return sum(s.numel() for s in official_names.our_shapes(config).values())


@cache
def _decoder_parameters(config: VAEConfig | WanVAEConfig) -> int:
    return sum(x.numel() for x in decoder_of(config).state_dict().values())


def decoder_of(config: VAEConfig | WanVAEConfig) -> VAE | WanVAE:
    """The autoencoder of a config, on the meta device."""
    with torch.device("meta"):
        return VAE(config) if isinstance(config, VAEConfig) else WanVAE(config)


def read_size(words: str | None) -> tuple[int, int] | None:
    """``704x1280`` is 704 pixels high and 1280 wide; None stays None."""
    if words is None:
        return None
    sides = words.lower().split("x")
    if len(sides) != 2 or not all(s.isascii() and s.isdigit() for s in sides):
        raise ValueError(f"size: {words!r} is no size; write HEIGHTxWIDTH in pixels, as 704x1280")
    return int(sides[0]), int(sides[1])


def w5b(size: tuple[int, int] = W5B_SIZE, dtype: torch.dtype = torch.bfloat16) -> Plan:
    """DreamX-World-5B: 4 passes and one that writes, chunks of 3 latent frames, 16 frames a second."""
    return Plan("w5b", W5B, CausalConfig(), WanVAEConfig(), size, dtype, TransformerMeta().words, UMT5_XXL, True, 5)


def plan_of(name: str, size: tuple[int, int] | None = None, dtype: torch.dtype | None = None) -> Plan:
    """The plan of ``w5b``, of a world by its name or folder, or of a transformer on disk. ValueError where it is none of them."""
    if name == "w5b":
        return w5b(size or W5B_SIZE, dtype or torch.bfloat16)
    folder = folder_of(name)
    if is_world(folder):
        return of_world(folder, size, dtype)
    found = transformer.read(folder)
    decoder, reader = _beside(name)
    past = found.kind.past or CausalConfig(chunk=21, window=21, sinks=0)  # both ways in time: a whole clip at once
    passes = 5 if found.kind.past else 100  # 50 steps, with and without words
    kept, size, words = dtype or found.dtype, size or W5B_SIZE, found.kind.words
    called = folder.parent.name if folder.name == "transformer" else folder.name
    return Plan(called, found.config, past, decoder, size, kept, words, reader, True, passes, folder=folder)


def _beside(name: str) -> tuple[WanVAEConfig, int]:
    """The decoder of a released model, and the parameters of its text encoder: those of the 5B for a transformer alone."""
    if not released.is_released(name):
        return WanVAEConfig(), UMT5_XXL
    try:
        files = released.files_of(name)
    except ValueError:
        return WanVAEConfig(), UMT5_XXL
    vae, text = components.read(files.vae, "vae"), components.look(files.text, "text_encoder")
    decoder = vae.config if vae is not None and isinstance(vae.config, WanVAEConfig) else WanVAEConfig()
    return decoder, UMT5_XXL if text is None else sum(x.numel() for x in text.tensors.values())


def folder_of(name: str) -> Path:
    """Return the folder with the weights of a world or a transformer. ValueError where there is neither."""
    path = Path(name)
    if (path / "transformer").is_dir():  # a released model: its other networks lie beside
        return path / "transformer"
    return path if path.exists() and (path.is_file() or not (path / "config.json").is_file()) else find(name)


def is_world(path: Path) -> bool:
    """Return whether a folder holds a whole world, not only a transformer."""
    return (path / "config.json").is_file() and "world" in weight_files.read_json(path / "config.json")


def on(plan: Plan, device: torch.device) -> Plan:
    """Return the plan as ``dreamx generate`` runs it: on a CPU released models take float32, and their blocks one by one."""
    if plan.world or device.type != "cpu":
        return plan
    return replace(plan, dtype=torch.float32, lent=True)


def of_world(folder: Path, size: tuple[int, int] | None = None, dtype: torch.dtype | None = None) -> Plan:
    """The plan of the world in a folder."""
    world = native.read_config(folder, "world", WorldConfig)
    dit, vae = native.read_config(folder, "dit", DiTConfig), native.read_config(folder, "vae", VAEConfig)
    text, s = native.read_config(folder, "text", WordConfig), world.sampler
    past = CausalConfig(s.chunk, s.window, s.sinks, alone=(), packed=world.causal.packed)
    with torch.device("meta"):
        reader = sum(x.numel() for x in WordEncoder(text).state_dict().values())
    return Plan(
        folder.name,
        dit,
        past,
        vae,
        size or (world.height, world.width),
        dtype or torch.float32,
        text.words,
        reader,
        False,
        s.steps + 1,
        world.speed.fps,
        folder,
        True,
    )
