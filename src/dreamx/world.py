"""A world: one session of walking. ``reset`` opens it with a picture or with words, ``step`` moves and answers with frames.

``step`` is the game, the environment of reinforcement learning and the harness of evaluation. It is ``decode(denoise(...))``:
denoising makes latents, decoding makes frames; the two touch different state, so that a server may decode one chunk while it
denoises the next.
All randomness comes from (seed, number of the chunk): the same seed, controls and prompts give the same frames, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamx import networks, session
from dreamx.checkpoints import native
from dreamx.config import from_json, to_json
from dreamx.decoding import decode_chunk
from dreamx.frames import Frames, as_hinted, cat, clean
from dreamx.geometry.camera import Camera, level
from dreamx.geometry.controls import Controls, from_keys, walk
from dreamx.geometry.reproject import View
from dreamx.lookahead import extrapolate_path, prefill_memory
from dreamx.memory import Bank, add_memory_hint, keep_off_walls, stack
from dreamx.model.depth_net import Depth
from dreamx.model.dit import DiT
from dreamx.model.place_field import PlaceField
from dreamx.model.prompt import Taught
from dreamx.model.vae import GROUP, VAE, State, fingerprint, to_bytes
from dreamx.model.word_encoder import WordEncoder
from dreamx.networks import TextToImage
from dreamx.rollout import next_chunk, noise_like, without_lane, write_context
from dreamx.session import Action, Dream, Switches, WorldConfig, find
from dreamx.standpoint import Standpoint, known_view, number_of, picture_key, read_standpoints
from dreamx.text_to_image import draw_first_picture


class World:
    """One session in a learned world. Forks share the networks.

    ``depth``: of opening pictures; None: the decoder's. ``painter``: draws the first picture from words; None: ``dit`` itself.
    ``note``: on words of the last prompt that are not read or not known, or ``""``. ``taught``: the vocabulary, if known.
    ``places``: those it knows by heart; ``standpoints``: of pictures that it recognises.
    """

    def __init__(
        self,
        config: WorldConfig,
        dit: DiT,
        vae: VAE,
        text: WordEncoder,
        depth: Depth | None = None,
        painter: TextToImage | None = None,
        places: PlaceField | None = None,
    ) -> None:
        self.config, self.dit, self.vae, self.text = config, dit.eval(), vae.eval(), text.eval()
        self.depth = None if depth is None else depth.eval()
        self.painter = painter and (painter[0].eval(), painter[1].eval())
        self.taught: Taught | None = None
        self.places = None if places is None else places.eval()
        self.standpoints: dict[str, Standpoint] = {}
        self._at: Standpoint | None = None  # None: nowhere that it knows by heart
        self.prompt, self.event, self.note, self.seed, self.chunk = "", "", "", 0, 0
        self.camera, self.switches = level(config.lens), Switches()
        self.actions: list[Action] = []
        self._words: Tensor | None = None  # [1, L, D]; None until the world is open
        self._cache = config.sampler.cache()
        self._known: Frames | None = None  # frames of the running chunk that are known before it is made
        self._decoder: State | None = None  # None: the next latent is the first, of one frame
        self._bank = None if config.memory is None else Bank(config.memory)
        self._unseen, self._looked = 0, 0  # dreams not shown yet; the chunk's number when it was last looked ahead

    @staticmethod
    def open(name_or_path: str | Path) -> World:
        """A world by its name among the shipped ones, or from a folder. ValueError, one sentence, where there is none."""
        folder = find(name_or_path)
        config = native.read_config(folder, "world", WorldConfig)
        world = World.from_folders(config, folder, folder, *networks.find_extras(folder))
        world.taught = networks.load_vocabulary(folder)
        world.standpoints = {} if world.places is None else read_standpoints(folder / "starts", world.size)
        return world

    @staticmethod
    def from_folders(config: WorldConfig, vae: Path, dit: Path, *extras: Path | None) -> World:
        """Build a world from separately trained network folders; ``extras``: those of ``networks.load_extras``."""
        net, text = networks.load_dit_and_text(dit)
        return World(config, net, networks.load_autoencoder(vae), text, *networks.load_extras(*extras, config=config))

    def export(self, folder: Path, half: bool = False) -> None:
        """Write the world (not the session) to a folder that ``open`` reads; ``half``: weights as float16."""
        extras = (self.depth, self.painter, self.places)
        networks.export_networks(folder, self.config, (self.dit, self.vae, self.text), extras, self.taught, half)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.config.height, self.config.width

    @property
    def fps(self) -> float:
        """Frames per second that the controls are calibrated for."""
        return self.config.speed.fps

    @property
    def can_pipeline(self) -> bool:
        """Whether a chunk may be denoised before the last one was decoded. Not where memory looks at decoded frames."""
        return self._bank is None

    @cached_property
    def identity(self) -> str:
        """A fingerprint of these networks: a session goes on in no others."""
        modules = (self.vae, self.dit, self.text, self.depth, *(self.painter or ()), self.places)
        return "-".join(fingerprint(module) for module in modules if module is not None)

    @property
    def frames_per_step(self) -> int:
        """Frames that the next step makes, and for which it wants controls."""
        return GROUP * (self.config.sampler.chunk - (0 if self._known is None else len(self._known)))

    @torch.inference_mode()
    def reset(self, image: Tensor | None = None, prompt: str = "", seed: int = 0, at: Standpoint | None = None) -> Tensor:
        """Open with a picture (uint8 ``[3, H, W]``) or words; return it as seen, ``[1, 3, H, W]``. ValueError: no change.

        at: where the picture was taken; None: where the world recognises it (``standpoints``), else nowhere that it knows.
        """
        session.check_opening(image, self.size, seed)
        words, self.note = networks.read_words(self.text, self.taught, prompt, "", None if image is not None else self.painter)
        self.prompt, self.event, self.seed, self.chunk, self._words = prompt, "", seed, 0, words
        self.camera, self.actions = level(self.config.lens), []
        self._cache, self._decoder, self._unseen, self._looked = self.config.sampler.cache(), None, 0, 0
        self._at = at if at is not None or image is None else self.standpoints.get(picture_key(image))
        here = self.camera.map(lambda x: x[None, None])  # [1, 1]
        self._bank = None if self.config.memory is None else Bank(self.config.memory)
        if image is not None:
            picture = image[None, None].float() / 127.5 - 1  # [1, 1, 3, H, W]
            first = clean(self.vae.encode(picture), here)
        else:
            nets = (*(self.painter or (self.dit, self.text)), self.vae)
            noise, cfg = self._noise(here, self._rng()), self.config
            first, picture = draw_first_picture(cfg.opening, nets, noise, prompt, cfg.sampler)
        deep = torch.zeros_like(picture[:, :, 0]) if self.depth is None else self.depth.metres(picture[:, 0])[:, None]
        # Without a depth network a drawn picture has no depth to show.
        blind = self._bank is None or (image is None and self.depth is None)
        hint = None if blind else View(picture, deep, torch.ones_like(deep))
        self.chunk = 1  # the opening counts, so that step 1 has noise of its own
        if self.config.sampler.chunk == 1:
            write_context(self.dit, first, words, self._cache)
        else:
            self._known = first  # a chunk of 3 begins with the opening, as in the released model
        return self._decode(Dream(first, here[0], here[0, :0], hint))

    def step(self, controls: Controls, event: str | None = None) -> Tensor:
        """Move, and see: ``frames_per_step`` frames of controls in, as many frames out, uint8 ``[F, 3, H, W]``."""
        return self.decode(self.denoise(controls, event))

    def play(self, actions: Iterable[str]) -> Iterator[Tensor]:
        """Walk by held keys, one string a frame (``"wj"``, ``""``): chunks of frames, uint8 ``[F, 3, H, W]``, the last cut."""
        if isinstance(actions, str):
            raise ValueError(f'actions: {actions!r} is one string; give one a frame, as ["wj"] * 16 or geometry.parse_actions')
        keys = iter(actions)
        while now := list(islice(keys, self.frames_per_step)):
            held = now + [""] * (self.frames_per_step - len(now))
            yield self.step(from_keys(held, self.config.speed))[: len(now)]

    @torch.inference_mode()
    def denoise(self, controls: Controls, event: str | None = None) -> Dream:
        """Denoise the next chunk. ``event`` follows the prompt until another is given. ValueError: session unchanged."""
        if self._words is None:
            raise ValueError("the world is not open yet: call reset with a picture or a prompt first")
        if self._unseen and not self.can_pipeline:
            raise ValueError("this world remembers what it shows: show the dream before this one first")
        if len(controls) != (due := self.frames_per_step):
            raise ValueError(f"controls: {len(controls)} frames given where this step makes {due} (`frames_per_step`)")
        reading = None if event is None else networks.read_words(self.text, self.taught, self.prompt, event)
        words, note = reading or (self._words, self.note)
        self.look_ahead()  # unless the server did it while the last chunk was shown
        path, rng = walk(self.camera, controls, self.config.up), self._rng()
        path, stopped = keep_off_walls(self._bank if self.switches.walls else None, self.camera, path)
        net = self.dit if self.switches.camera else without_lane(self.dit, "view")
        # A latent has the camera of the last of its 4 video frames.
        chunk = self._noise(path[GROUP - 1 :: GROUP].map(lambda x: x[None]), rng)
        here = known_view(self.places, self._at, path, self.size)
        chunk, memories, hint = add_memory_hint(self.vae, self._bank, chunk, path, here, self.switches.memory)
        chunk = chunk if self._known is None else cat(self._known, chunk)
        alone = self.config.places_alone and here is not None and hint is not None
        made = as_hinted(chunk) if alone else next_chunk(net, chunk, words, self._cache, self.config.sampler, rng)
        new = made[slice(len(made) - len(controls) // GROUP, None)]  # without the opening, which was shown
        # All that can be refused is behind: the session changes only from here on.
        self._words, self._known, self.camera, self.note = words, None, path[-1], note
        self.event, self.chunk, self._unseen = self.event if event is None else event, self.chunk + 1, self._unseen + 1
        self.actions.append(Action.of(controls, event, self.switches))
        recalled = stack([m.camera for m in memories]) if memories else path[:0]
        return Dream(new, path, recalled, hint, stopped)

    @torch.inference_mode()
    def decode(self, dream: Dream) -> Tensor:
        """Decode a dream; every dream once, in the order of ``denoise``."""
        self._unseen -= 1
        return self._decode(dream)

    @torch.inference_mode()
    def look_ahead(self) -> None:
        """Remember a view ahead where memory knows little (``config.foresight``), to save the next ``denoise`` the time."""
        cfg, bank, last = self.config.foresight, self._bank, self.actions[-1] if self.actions else None
        if cfg is None or bank is None or last is None or self._words is None or self._looked == self.chunk:
            return
        self._looked = self.chunk  # once a chunk, whoever asks first
        # Standing still uncovers nothing, and where a place is known by heart, nothing has to be dreamt.
        needed = last.switches.memory and number_of(self.places, self._at) is None
        if needed and bool(last.controls.turn.any() or last.controls.move.any()):
            there = extrapolate_path(self.camera, last.controls, cfg.latents, self.config.up)
            rng = torch.Generator().manual_seed(self._rng().initial_seed() + _OTHER)
            blank = self._noise(there[-1:].map(lambda x: x[None]), rng)
            net = self.dit if last.switches.camera else without_lane(self.dit, "view")
            nets, past = (net, self.vae), (self._cache, self._decoder, bank)
            prefill_memory(cfg, nets, past, there, blank, self._words, self.config.sampler)

    def fork(self) -> World:
        """An independent future of the same past."""
        other = copy(self)
        other._cache, other.actions = self._cache.fork(), list(self.actions)
        other._bank = None if self._bank is None else self._bank.fork()
        return other

    def save(self, path: Path) -> None:
        """Write the session to one file, whole or not at all; ``load`` goes on from it bit for bit."""
        tensors = {"pose": self.camera.pose, "lens": self.camera.lens}
        tensors |= {f"cache.{k}": v for k, v in self._cache.state().items()}
        tensors |= {f"decoder.{i}": x for i, x in enumerate(self._decoder or ())}
        tensors |= {f"memory.{k}": v for k, v in (self._bank.state() if self._bank else {}).items()}
        tensors |= {} if self._known is None else {"known": self._known.z}
        done, controls = session.pack(self.actions)
        configs = {"config": to_json(self.config), "switches": to_json(self.switches)}
        words = {"world": self.identity, **configs, **{k: getattr(self, k) for k in _WORDS}}
        words |= {} if self._at is None else {"at": self._at.to_json()}
        session.write(path, words | done, tensors | controls)

    @torch.inference_mode()
    def load(self, path: Path) -> None:
        """Take over a saved session. ValueError, one sentence, when the file is not this world's; nothing changes then."""
        words, t = session.read(path)
        if words.get("world") != self.identity:
            raise ValueError(f"{path}: this session was walked in other weights; open the world it was saved from")
        other = copy(self)  # filled first, taken over when it is whole
        try:
            other._take(words, t)
        except Exception as e:  # of a damaged file anything may be of another kind
            raise ValueError(f"{path}: the session is not whole ({type(e).__name__}: {e}); save it again") from e
        self.__dict__.update(other.__dict__)

    def _take(self, words: dict[str, Any], t: dict[str, Tensor]) -> None:
        """Become the session that ``save`` described in words and tensors."""
        self.config = session.check(words, t, self.config)
        self.prompt, self.event, self.seed, self.chunk = (words[k] for k in _WORDS)
        self.camera = Camera(t["pose"], t["lens"])
        self._words, self.note = networks.read_words(self.text, self.taught, self.prompt, self.event)
        self._cache = self.config.sampler.cache()
        self._cache.restore({k.removeprefix("cache."): v for k, v in t.items() if k.startswith("cache.")})
        self._looked, self._bank = 0, None if self.config.memory is None else Bank(self.config.memory)
        if self._bank is not None:
            self._bank.restore({k.removeprefix("memory."): v for k, v in t.items() if k.startswith("memory.")})
        self._decoder = tuple(t[f"decoder.{i}"] for i in range(sum(k.startswith("decoder.") for k in t))) or None
        self._at = Standpoint.from_json(words["at"]) if "at" in words else None
        here = self.camera.map(lambda x: x[None, None])
        self._known = clean(t["known"], here) if "known" in t else None
        self.switches, self.actions = from_json(Switches, words["switches"]), session.unpack(words, t)

    def _rng(self) -> torch.Generator:
        # Times a prime, so that seed 0, chunk 1 is not seed 1, chunk 0.
        return torch.Generator().manual_seed(1_000_003 * self.seed + self.chunk)

    def _noise(self, camera: Camera, rng: torch.Generator) -> Frames:
        """New frames ``[1, T]`` seen by these cameras, all noise."""
        t, s = len(camera.pose[0]), self.vae.config.shrink
        blank = torch.empty(1, t, self.vae.config.latent, self.size[0] // s, self.size[1] // s)  # [1, T, C, h, w]
        # Time index in latent frames, counted from the opening.
        start = 0 if self._cache.where is None else int(self._cache.where.index[0, -1]) + 1
        start += 0 if self._known is None else len(self._known)
        frames = clean(noise_like(blank, rng), camera, start)
        return replace(frames, sigma=torch.ones_like(frames.sigma))

    def _decode(self, dream: Dream) -> Tensor:
        made, self._decoder = decode_chunk(self.vae, dream, self._decoder, self.depth is not None)
        for pixels, camera in made:
            if self._bank is not None:
                self._bank.remember(pixels.rgb[0, -1], pixels.depth[0, -1], camera)
        return to_bytes(torch.cat([pixels.rgb[0] for pixels, _ in made]))


_WORDS = ("prompt", "event", "seed", "chunk")
_OTHER = 2**40  # what is foreseen draws other noise than the chunk

load = World.open  # a world by its name among the shipped ones, or from a folder
