"""A world: one session of walking. ``reset`` opens it with a picture or with words, ``step`` moves and answers with frames.

``step`` is the game, the environment of reinforcement learning and the harness of evaluation. It is ``decode(denoise(...))``:
denoising makes latents, decoding makes frames; the two touch different state, so that a server may decode one chunk while it
denoises the next.
All randomness comes from (seed, number of the chunk): the same seed, controls and prompts give the same frames, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from dreamx import networks, released, session
from dreamx.checkpoints import native
from dreamx.checkpoints.lent_text import LentText
from dreamx.chunk_plan import ChunkPlan, PlannedSession
from dreamx.chunk_request import answer_request, answer_requests
from dreamx.decoding import decode_chunk
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import Camera
from dreamx.geometry.controls import Controls, from_keys
from dreamx.geometry.reproject import View
from dreamx.model.depth_net import Depth
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.model.place_field import PlaceField
from dreamx.model.vae import VAE, fingerprint
from dreamx.model.wan_vae import WanVAE
from dreamx.model.word_encoder import WordEncoder
from dreamx.networks import TextToImage
from dreamx.rollout import write_context
from dreamx.session import Dream, WorldConfig, find
from dreamx.standpoint import Standpoint, picture_key, read_standpoints
from dreamx.text_to_image import draw_first_picture


class World(PlannedSession):
    """One session in a learned world. Forks share the networks.

    ``depth``: of opening pictures; None: the decoder's. ``painter``: draws the first picture from words; None: ``dit`` itself.
    ``places``: those it knows by heart; ``standpoints``: of pictures that it recognises.
    """

    def __init__(
        self,
        config: WorldConfig,
        dit: DiT,
        vae: VAE | WanVAE,
        text: WordEncoder | LentText,
        depth: Depth | None = None,
        painter: TextToImage | None = None,
        places: PlaceField | None = None,
    ) -> None:
        super().__init__(config, dit, vae, text, places)
        self.depth = None if depth is None else depth.eval()
        self.painter = painter and (painter[0].eval(), painter[1].eval())
        self.standpoints: dict[str, Standpoint] = {}

    @staticmethod
    def open(name_or_path: str | Path, choice: released.Choice = released.AS_IT_IS) -> World:
        """A world by its name among the shipped ones, or from a folder, also of a released checkpoint (``released``), of which
        ``choice`` says size and device. ValueError, one sentence, where there is none."""
        if released.is_released(name_or_path):
            nets, config = released.open_causal(name_or_path, choice)
            world = World(config, nets.dit, nets.vae, nets.text)
            world._device, world.__dict__["identity"] = torch.device(nets.text.device), nets.identity
            return world
        folder = find(name_or_path)
        choice.refuse(name_or_path)
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

    def export(self, folder: Path, half: bool = False, small: bool = False) -> None:
        """Write the world (not the session) to a folder that ``open`` reads; ``half``: weights as float16; ``small``: in 6 and 8
        bits."""
        extras = (self.depth, self.painter, self.places)
        if isinstance(self.vae, WanVAE) or isinstance(self.text, LentText):
            raise ValueError("export: this world is of a released checkpoint; dreamx convert writes those")
        networks.export_networks(folder, self.config, (self.dit, self.vae, self.text), extras, self.taught, half, small)

    @property
    def fps(self) -> float:
        """Frames per second that the controls are calibrated for."""
        return self.config.speed.fps

    @cached_property
    def identity(self) -> str:
        """A fingerprint of these networks: a session goes on in no others."""
        modules = (self.vae, self.dit, self.text, self.depth, *(self.painter or ()), self.places)
        return "-".join(fingerprint(module) for module in modules if module is not None)

    @torch.inference_mode()
    def reset(
        self,
        image: Tensor | None = None,
        prompt: str = "",
        seed: int = 0,
        at: Standpoint | None = None,
        path: Camera | None = None,
    ) -> Tensor:
        """Open with a picture (uint8 ``[3, H, W]``) or words; return it as seen, ``[1, 3, H, W]``. ValueError: no change.

        A released checkpoint makes of words alone a whole chunk: the frames ``[n, 3, H, W]`` of cameras ``path [n]``, or of one
        that stands still.
        at: where the picture was taken; None: where the world recognises it (``standpoints``), else nowhere that it knows.
        """
        session.check_opening(image, self.size, seed)
        before = dict(self.__dict__)
        words, self.note = networks.read_words(self.text, self.taught, prompt, "", None if image is not None else self.painter)
        self.prompt, self.event, self.seed, self.chunk, self._words = prompt, "", seed, 0, words
        self._begin()
        self._at = at if at is not None or image is None else self.standpoints.get(picture_key(image))
        if isinstance(vae := self.vae, WanVAE):
            return self._or_back(before, lambda: self._open_released(vae, image, path))
        here = self.camera.map(lambda x: x[None, None])  # [1, 1]
        if image is not None:
            picture = image[None, None].float() / 127.5 - 1  # [1, 1, 3, H, W]
            first = clean(self.vae.encode(picture), here)
        else:
            dit, text = self.painter or (self.dit, self.text)
            assert isinstance(text, WordEncoder), "a text encoder that is lent goes with the autoencoder of Wan2.2"
            noise, cfg = self._noise(here, self._rng()), self.config
            first, picture = draw_first_picture(cfg.opening, (dit, text, self.vae), noise, prompt, cfg.sampler)
        deep = torch.zeros_like(picture[:, :, 0]) if self.depth is None else self.depth.metres(picture[:, 0])[:, None]
        # Without a depth network a drawn picture has no depth to show.
        blind = self._bank is None or (image is None and self.depth is None)
        hint = None if blind else View(picture, deep, torch.ones_like(deep))
        self.chunk = 1  # the opening counts, so that step 1 has noise of its own; a released model has it within the first chunk
        if self.config.sampler.chunk == 1:
            write_context(self.dit, first, words, self._cache)
            self._pack(first)
        else:
            self._known = first  # a chunk of 3 begins with the opening, as in the released model
        return self._decode(Dream(first, here[0], here[0, :0], hint))

    def _open_released(self, vae: WanVAE, image: Tensor | None, path: Camera | None) -> Tensor:
        here = self.camera.map(lambda x: x[None, None])  # also of a path that begins elsewhere: it is seen from there
        n = 1 + vae.config.group * (self.config.sampler.chunk - 1)
        if path is not None and len(path) < (least := n if image is None else 1):
            raise ValueError(f"path: {len(path)} cameras given where a first chunk has {least}")
        if path is not None:
            self.camera, self._before = path[0].to(dtype=torch.float32), path[0].to(dtype=torch.float64)
        if image is not None:
            self._known = clean(released.encoded(vae, image), here)
            return self._decode(Dream(self._known, here[0], here[0, :0]))
        path = self.camera.map(lambda x: x.expand(n, *x.shape)) if path is None else path[:n]
        return self.decode(self._dream(self.plan_path(path, None, self.read_event(None))))

    def step(self, controls: Controls, event: str | None = None) -> Tensor:
        """Move, and see: ``frames_per_step`` frames of controls in, as many frames out, uint8 ``[F, 3, H, W]``."""
        return self.decode(self.denoise(controls, event))

    def play(self, actions: Iterable[str], events: Iterable[str | None] = ()) -> Iterator[Tensor]:
        """Walk by held keys, one string a frame (``"wj"``, ``""``): chunks of frames, uint8 ``[F, 3, H, W]``, the last cut.

        events: what is said with each chunk (``event_timeline``)."""
        if isinstance(actions, str):
            raise ValueError(f'actions: {actions!r} is one string; give one a frame, as ["wj"] * 16 or geometry.parse_actions')
        keys, said = iter(actions), iter(events)
        while now := list(islice(keys, self.frames_per_step)):
            held = now + [""] * (self.frames_per_step - len(now))
            yield self.step(from_keys(held, self.config.speed), next(said, None))[: len(now)]

    @torch.inference_mode()
    def denoise(self, controls: Controls, event: str | None = None, early: Callable[[Dream], None] | None = None) -> Dream:
        """Denoise the next chunk. ``event`` follows the prompt until another is given; events that the world was taught by
        the names in it come, last and go (``event_phases``). ValueError: session unchanged.

        early: is given the dream once it is made; another thread may decode it while it is written into the past, and may do no
        more with this world until ``denoise`` has returned. What is raised after that leaves a world not to be gone on with.
        """
        self.refuse_frames("controls", len(controls))
        reading = self.read_event(event)
        self.look_ahead()  # unless the server did it while the last chunk was shown
        plan = self.plan_steps(controls, event, reading)
        return self._dream(plan) if early is None else self._dream_early(plan, early)

    @torch.inference_mode()
    def follow(self, path: Camera, event: str | None = None) -> Dream:
        """Denoise the next chunk along cameras ``path [frames_per_step]``, counted from the opening, which ``actions`` do not
        hold. ValueError: session unchanged."""
        self.refuse_frames("path", len(path))
        return self._dream(self.plan_path(path, event, self.read_event(event)))

    def _dream(self, plan: ChunkPlan) -> Dream:
        return self.finish_chunk(plan, answer_requests([plan.request])[0] if plan.request else None)

    def _dream_early(self, plan: ChunkPlan, early: Callable[[Dream], None]) -> Dream:
        dreams: list[Dream] = []

        def made_known(made: Frames, cache: KVCache) -> None:
            dreams.append(self.finish_chunk(plan, (made, cache)))
            early(dreams[0])

        if (request := plan.request) is None:
            early(dream := self.finish_chunk(plan, None))
            return dream
        answer_request(request, lambda made: made_known(made, request.cache))
        return dreams[0]

    @torch.inference_mode()
    def decode(self, dream: Dream) -> Tensor:
        """Decode a dream; every dream once, in the order of ``denoise``. ValueError for odd latents: session unchanged."""
        return self.finish_dream(decode_chunk(self.vae, dream, self.size, self.decoder_state, self.depth is not None))

    @torch.inference_mode()
    def look_ahead(self) -> None:
        """Remember a view ahead where memory knows little (``config.foresight``), to save the next ``denoise`` the time."""
        if (plan := self.plan_ahead()) is not None:
            self.finish_ahead(plan, answer_requests([plan.request])[0][0])

    def _decode(self, dream: Dream) -> Tensor:
        return self.finish_decoding(decode_chunk(self.vae, dream, self.size, self._decoder, self.depth is not None))


load = World.open  # a world by its name among the shipped ones, or from a folder
