"""Keep what a session is at one moment, and write it to a file: a world goes on from it bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from dreamx import networks, released, session
from dreamx.checkpoints.lent_text import LentText
from dreamx.config import from_json, to_json
from dreamx.event_phases import EventState, OngoingEvent, next_events, refuse_untaught, told_words
from dreamx.frames import Frames, clean
from dreamx.geometry.camera import Camera, level
from dreamx.memory import Bank
from dreamx.model.attention_backends import TORCH
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.model.prompt import Taught
from dreamx.model.taught_event import TaughtEvent
from dreamx.model.vae import VAE, State
from dreamx.model.wan_vae import WanVAE
from dreamx.model.word_encoder import WordEncoder
from dreamx.packed_memory import PackedFrame, PackedMemory
from dreamx.plaintext import cause
from dreamx.rollout import Network, noise_like, write_context
from dreamx.session import Action, Switches, WorldConfig
from dreamx.session_shapes import check_tensors, session_table
from dreamx.standpoint import Standpoint
from dreamx.unwritten import as_history, keep_unwritten, restore_unwritten, unwritten_state


class Telling(NamedTuple):
    """Words of a chunk: what goes on, what is told of it after the prompt, both read ``[1, L, D]``, and the note on them."""

    events: EventState
    told: str
    words: Tensor
    note: str


class SessionState:
    """The state of one session; ``World`` changes it. ``note``: on words of the last prompt that are not read or not known,
    or ``""``. ``taught``: the vocabulary, if known. ``camera``: of the newest frame."""

    def __init__(self, config: WorldConfig, dit: DiT, vae: VAE | WanVAE, text: WordEncoder | LentText) -> None:
        self.config, self.dit, self.vae, self.text = config, dit.eval(), vae.eval(), text.eval()
        self.taught: Taught | None = None
        self.prompt, self.event, self.note, self.seed, self.chunk = "", "", "", 0, 0
        self.switches = Switches()
        self.backend = TORCH  # kernel of attention, from the next `reset` on
        self._at: Standpoint | None = None  # None: nowhere that it knows by heart
        self._words: Tensor | None = None  # [1, L, D]; None until the world is open
        self._device = torch.device("cpu")  # of the cache and of the decoder
        self._begin()

    @cached_property
    def identity(self) -> str:
        """A fingerprint of the networks: a session goes on in no others."""
        raise NotImplementedError

    @property
    def happenings(self) -> tuple[TaughtEvent, ...]:
        """Return the events that it was taught by name."""
        return () if self.taught is None else self.taught.happenings

    @property
    def knows_events(self) -> bool:
        """Whether it was taught that what is said happens."""
        return self.taught is not None and self.taught.events

    @property
    def ongoing(self) -> tuple[OngoingEvent, ...]:
        """Return those of them that were told with the newest chunk."""
        return self._events.ongoing

    @property
    def place(self) -> str | None:
        """Return the name of the place known by heart that the session is in; None: none is known."""
        return None if self._at is None else self._at.place

    def seconds_before(self, chunk: int) -> float:
        """Return for how many seconds one had walked when the chunk of that number began; the opening's frame is counted."""
        size = self.config.sampler.chunk
        latents = chunk if size == 1 else max(1, size * (chunk - 1))  # the opening is one, and within the first longer chunk
        return (1 + self.vae.config.group * (latents - 1)) / self.config.speed.fps

    def fork(self) -> Self:
        """An independent future of the same past."""
        other = copy(self)
        other._cache, other.actions = self._cache.fork(), list(self.actions)
        other._bank = None if self._bank is None else self._bank.fork()
        other._packed = None if self._packed is None else self._packed.fork()
        return other

    def save(self, path: Path) -> None:
        """Write the session to one file, whole or not at all; ``load`` goes on bit for bit. ValueError before ``reset``."""
        if self._words is None:
            raise ValueError("save: the world is not open yet; call reset with a picture or a prompt first")
        tensors = {"pose": self.camera.pose, "lens": self.camera.lens}
        tensors |= {f"cache.{k}": v for k, v in self._cache.state().items()}
        tensors |= {f"decoder.{i}": x for i, x in enumerate(self._decoder or ())}
        tensors |= {f"memory.{k}": v for k, v in (self._bank.state() if self._bank else {}).items()}
        tensors |= {f"packed.{k}": v for k, v in (self._packed.state() if self._packed else {}).items()}
        tensors |= {f"unwritten.{k}": v for k, v in unwritten_state(self._unwritten).items()}
        tensors |= {} if self._known is None else {"known": self._known.z}
        tensors |= {"before": self._before.pose} if self.config.causal.from_before else {}
        if isinstance(self.text, LentText):  # so that nobody has to open 11 GB for it again
            tensors["words"] = self.text.tokens(self._said())
        done, controls = session.pack(self.actions)
        configs = {"config": to_json(self.config), "switches": to_json(self.switches)}
        words = {"world": self.identity, **configs, **{k: getattr(self, k) for k in _WORDS}, "note": self.note}
        words |= {} if self._at is None else {"at": self._at.to_json()}
        words |= {} if self._events == EventState(self.event) else {"ongoing": to_json(self._events)}
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
            raise ValueError(f"{path}: the session is not whole ({cause(e)}); save it again") from e
        self.__dict__.update(other.__dict__)
        if isinstance(self.text, LentText) and "words" in t:
            self.text.keep(self._said(), t["words"], self.note)

    def _begin(self) -> None:
        """Make the state that of a session in which nothing has happened."""
        self.camera, self.actions = level(self.config.lens), list[Action]()
        self._cache = self._new_cache()
        self._known: Frames | None = None  # frames of the running chunk that are known before it is made
        self._decoder: State | None = None  # None: the next latent is the first, of one frame
        self._bank = None if self.config.memory is None else Bank(self.config.memory)
        packed = self.config.causal.packed
        self._packed = None if packed is None else PackedMemory(packed)
        self._events, self._told = EventState(), ""
        self._unwritten: tuple[Frames, ...] = ()  # chunks that the cache lacks, the newest last
        self._unseen, self._looked = 0, 0  # dreams not shown yet; the chunk's number when it was last looked ahead
        self._before = Camera(self.camera.pose.double(), self.camera.lens.double())  # of the last latent before the next chunk

    def _or_back(self, before: dict[str, Any], work: Callable[[], Tensor]) -> Tensor:
        """Do the work; where it raises, the session is as it was ``before``: what is in it is replaced, never changed."""
        try:
            return work()
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _new_cache(self) -> KVCache:
        past = self.config.sampler if self.config.past is None else self.config.past
        return past.cache(self.backend)

    def _latents(self, path: Camera, group: int) -> tuple[Camera, Camera]:
        """Return the cameras ``[1, T]`` of the latents of a path, and that from which the next chunk is seen."""
        if self.config.causal.from_before:
            return released.latent_cameras(path, self._before, group)
        return path[group - 1 :: group].map(lambda x: x[None]), self._before

    def _rng(self) -> torch.Generator:
        # Times a prime, so that seed 0, chunk 1 is not seed 1, chunk 0.
        return torch.Generator().manual_seed(1_000_003 * self.seed + self.chunk)

    def _noise(self, camera: Camera, rng: torch.Generator) -> Frames:
        """New frames ``[1, T]`` seen by these cameras, all noise."""
        t, s = len(camera.pose[0]), self.vae.config.shrink
        known = 0 if self._known is None else len(self._known)
        also = known if self.config.causal.from_before else 0  # drawn for a whole chunk, of which the opening takes a part
        blank = torch.empty(
            1, also + t, self.vae.config.latent, self.config.height // s, self.config.width // s
        )  # [1, T, C, h, w]
        # Time index in latent frames, counted from the opening.
        last = self._unwritten[-1].index if self._unwritten else None if self._cache.where is None else self._cache.where.index
        start = 0 if last is None else int(last[0, -1]) + 1
        frames = clean(noise_like(blank, rng)[:, also:], camera, start + known)
        return replace(frames, sigma=torch.ones_like(frames.sigma))

    def _unwritten_after(
        self, net: Network, made: Frames, words: Tensor, cache: KVCache, rng: torch.Generator
    ) -> tuple[Frames, ...]:
        """Return the chunks that a cache lacks after one was ``made`` without the transformer; sinks are written at once."""
        if not self.knows_events:  # then the transformer never takes over
            return ()
        chunk = as_history(made, self.config.sampler, rng)
        if len(cache) >= cache.sinks:
            return keep_unwritten(self._unwritten, chunk, cache)
        write_context(net, chunk, words, cache)
        return ()

    def _show_packed(
        self, net: Network, chunk: Frames, words: Tensor, cache: KVCache
    ) -> tuple[tuple[PackedFrame, ...], Camera | None]:
        """Show a chunk what packed memory recalls for it; return that, and from where it was seen. None: it is off."""
        if self._packed is None or not self.switches.packed:
            return (), None
        axes = self._before if self.config.causal.from_before else None
        return self._packed.show(net, chunk, words, cache, axes, self.switches.camera)

    def _pack(self, made: Frames) -> None:
        """Keep a finished chunk in packed memory, where there is one."""
        if self._packed is not None:
            self._packed.remember(made, self._before if self.config.causal.from_before else None, self.chunk)

    def read_event(self, event: str | None) -> Telling:
        """Return the words of the next chunk, with which ``event`` begins; None: nothing new is said. ValueError: not taught."""
        assert self._words is not None, "the world is open"
        seconds = self.config.sampler.chunk * self.vae.config.group / self.config.speed.fps
        events = next_events(self._events, event, self.happenings, self.chunk, seconds)
        told = told_words(events, self.happenings)
        if told == self._told and (told or event is None):
            return Telling(events, told, self._words, self.note)
        return Telling(events, told, *networks.read_words(self.text, self.taught, self.prompt, told))

    def _steady(self, now: Telling, known: bool) -> bool:
        """Whether a chunk is made without a past (``WorldConfig.lasting_alone``). known: its place is known by heart."""
        each = now.events.ongoing
        lasts = bool(each) and not now.events.free and all(o.phase == "lasting" for o in each)
        return self.config.lasting_alone and known and lasts and self._packed is None

    def _quiet(self, told: str) -> Tensor | None:
        """Words ``[1, L, D]`` without what is told, to push a chunk away from (``WorldConfig.event_guidance``); None: no push."""
        if not told or not self.config.event_guidance or isinstance(self.text, LentText):
            return None
        return networks.read_words(self.text, None, self.prompt, "")[0]

    def _said(self) -> str:
        """The words that a text encoder that is lent was given last."""
        return f"{self.prompt} {self._told}".strip()

    def _take(self, words: dict[str, Any], t: dict[str, Tensor]) -> None:
        """Become the session that ``save`` described in words and tensors."""
        self.config = session.check(words, self.config)
        want = session_table(t, (words["chunk"], len(words["events"])), self.config, self.dit.config, self.vae.config)
        lent = {"words"} if isinstance(self.text, LentText) else set[str]()  # looked at by the text encoder
        check_tensors({k: x for k, x in t.items() if k not in lent}, want)
        of = {k: {n.removeprefix(f"{k}."): x for n, x in t.items() if n.startswith(f"{k}.")} for k in _PARTS}
        self.prompt, self.event, self.seed, self.chunk = (words[k] for k in _WORDS)
        events = from_json(EventState, words["ongoing"]) if "ongoing" in words else EventState(self.event)
        refuse_untaught(events, self.happenings)
        told = told_words(events, self.happenings)
        if isinstance(self.text, LentText) and "words" in t:  # kept by the encoder, which others share, when all is whole
            self._words, self.note = self.text.padded(self.text.checked(t["words"])), str(words.get("note", ""))
        else:
            self._words, self.note = networks.read_words(self.text, self.taught, self.prompt, told)
        self._begin()
        self._events, self._told = events, told
        self._unwritten = restore_unwritten(of["unwritten"], self.config.sampler)
        self.camera = Camera(t["pose"], t["lens"])
        self._cache.restore({k: x.to(self._device) for k, x in of["cache"].items()})
        if self._bank is not None:
            self._bank.restore(of["memory"])
        if self._packed is not None:
            self._packed.restore(of["packed"])
        count = sum(k.startswith("decoder.") for k in t)
        self._decoder = tuple(t[f"decoder.{i}"].to(self._device) for i in range(count)) or None
        self._at = Standpoint.from_json(words["at"]) if "at" in words else None
        opening = level(self.config.lens).map(lambda x: x[None, None])
        self._known = clean(t["known"], opening) if "known" in t else None
        self._before = Camera(t["before"], self._before.lens) if "before" in t else self._before
        self.switches, self.actions = from_json(Switches, words["switches"]), session.unpack(words, t)


_PARTS = ("cache", "memory", "packed", "unwritten")
_WORDS = ("prompt", "event", "seed", "chunk")
