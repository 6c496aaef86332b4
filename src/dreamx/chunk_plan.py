"""The next chunk of a session in two halves: all that is known before the network runs, and all that changes after it did.

``World.denoise`` is one after the other; between them ``world_batch`` lets one pass of the network serve many sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamx.checkpoints.lent_text import LentText
from dreamx.chunk_request import ChunkRequest
from dreamx.decoding import Decoded
from dreamx.frames import Frames, cat
from dreamx.geometry.camera import Camera, stack
from dreamx.geometry.controls import Controls, walk
from dreamx.geometry.reproject import View
from dreamx.lookahead import AheadPlan, extrapolate_path, imagine_view, plan_view_ahead
from dreamx.memory import Memory, add_memory_hint, drop_contradicted, keep_off_walls
from dreamx.model.broken import refuse_broken
from dreamx.model.dit import DiT
from dreamx.model.kv_cache import KVCache
from dreamx.model.place_field import PlaceField
from dreamx.model.vae import VAE, State, to_bytes
from dreamx.model.wan_vae import WanVAE
from dreamx.model.word_encoder import WordEncoder
from dreamx.packed_memory import PackedFrame
from dreamx.rollout import without_lane
from dreamx.session import Action, Dream, WorldConfig
from dreamx.session_state import SessionState, Telling
from dreamx.standpoint import known_view, number_of
from dreamx.unwritten import known_chunk, write_unwritten


@dataclass(frozen=True, eq=False)
class ChunkPlan:
    """A chunk before it is made.

    path ``[frames_per_step]``: the camera of each video frame; ``stopped``: a wall was in the way. event: what was said;
    ``reading``: the words of the chunk. known: its frames that were shown before. before: from where the chunk after it is seen.
    hint, memories: what re-projected memory shows. packed, packed_from: what packed memory recalls. request: to the network;
    None: the chunk is shown as it is known (``shown``, and the past with it). unwritten: chunks that its past lacks then. action:
    for the replay; None: it holds none.
    """

    path: Camera
    stopped: bool
    event: str | None
    reading: Telling
    known: Frames | None
    before: Camera
    hint: View | None
    memories: list[Memory]
    request: ChunkRequest | None
    shown: tuple[Frames, KVCache] | None = None
    unwritten: tuple[Frames, ...] = ()
    packed: tuple[PackedFrame, ...] = ()
    packed_from: Camera | None = None
    action: Action | None = None


class PlannedSession(SessionState):
    """A session whose chunks are planned, made by the network, and finished. ``places``: those that it knows by heart."""

    def __init__(
        self, config: WorldConfig, dit: DiT, vae: VAE | WanVAE, text: WordEncoder | LentText, places: PlaceField | None
    ) -> None:
        super().__init__(config, dit, vae, text)
        self.places = None if places is None else places.eval()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.config.height, self.config.width

    @property
    def can_pipeline(self) -> bool:
        """Whether a chunk may be denoised before the last one was decoded. Not where memory looks at decoded frames."""
        return self._bank is None

    @property
    def decoder_state(self) -> State | None:
        """The decoder's stream; None: its next latent is the first, of one frame."""
        return self._decoder

    @property
    def frames_per_step(self) -> int:
        """Frames that the next step makes, and for which it wants controls."""
        return self.vae.config.group * (self.config.sampler.chunk - (0 if self._known is None else len(self._known)))

    def refuse_frames(self, name: str, frames: int) -> None:
        """ValueError unless the next chunk can be planned for so many frames of controls or cameras."""
        if self._words is None:
            raise ValueError("the world is not open yet: call reset with a picture or a prompt first")
        if self._unseen and not self.can_pipeline:
            raise ValueError("this world remembers what it shows: show the dream before this one first")
        if frames != (due := self.frames_per_step):
            raise ValueError(f"{name}: {frames} frames given where this step makes {due} (`frames_per_step`)")

    def plan_steps(self, controls: Controls, event: str | None, reading: Telling) -> ChunkPlan:
        """Plan the next chunk along what is walked; ``reading``: of ``event``. The session stays as it is."""
        path = walk(self.camera, controls, self.config.up)
        path, stopped = keep_off_walls(self._bank if self.switches.walls else None, self.camera, path)
        return self.plan_path(path, event, reading, stopped, Action.of(controls, event, self.switches))

    def plan_path(
        self, path: Camera, event: str | None, now: Telling, stopped: bool = False, action: Action | None = None
    ) -> ChunkPlan:
        """Plan the next chunk along cameras ``path [frames_per_step]``. The session stays as it is."""
        words, before_words = now.words, self._words
        assert before_words is not None, "the world is open"
        cfg, rng, known = self.config, self._rng(), self._known
        net = self.dit if self.switches.camera else without_lane(self.dit, "view")
        latents, before = self._latents(path, self.vae.config.group)
        chunk, here, hint, memories = self._noise(latents, rng), None, None, []
        if isinstance(self.vae, VAE):
            here = known_view(self.places, self._at, path, self.size)
            chunk, memories, hint = add_memory_hint(self.vae, self._bank, chunk, path, here, self.switches.memory)
        alone = cfg.places_alone and here is not None and hint is not None and not (now.told and self.knows_events)
        cache = self._cache.fork()  # the past stays what it is where the chunk is refused
        if alone:
            made = known_chunk(known, chunk)
            unwritten = self._unwritten_after(net, made, words, cache, rng)
            shown = made, cache
            return ChunkPlan(
                path, stopped, event, now, known, before, hint, memories, None, shown, unwritten=unwritten, action=action
            )
        write_unwritten(net, self._unwritten, before_words, cache)
        if cfg.sampler.flush is not None and now.told != self._told:
            cache.cut(cfg.sampler.flush)
        chunk = chunk if known is None else cat(known, chunk)
        packed, packed_from = self._show_packed(net, chunk, words, cache)
        steady = self._steady(now, here is not None)
        cache = self._new_cache() if steady else cache
        quiet = self._quiet("" if steady else now.told)
        strength = 0.0 if quiet is None else cfg.event_guidance
        request = ChunkRequest(self.dit, chunk, words, cache, cfg.sampler, rng, self.switches.camera, quiet, strength)
        return ChunkPlan(
            *(path, stopped, event, now, known, before, hint, memories, request),
            packed=packed,
            packed_from=packed_from,
            action=action,
        )

    def finish_chunk(self, plan: ChunkPlan, answer: tuple[Frames, KVCache] | None) -> Dream:
        """Take over the chunk that a plan asked for, and its past; None where it asked for none. ValueError: no change."""
        cfg, known, now = self.config, plan.known, plan.reading
        done = answer or plan.shown
        assert done is not None, "a plan without a request shows what is known"
        made, cache = done
        if isinstance(self.vae, WanVAE):
            refuse_broken(made.z, f"in chunk {self.chunk}", self.dit)
        new = made[slice(0 if known is None else len(known), None)]  # without the opening, which was shown
        # All that can be refused is behind: the session changes only from here on.
        if plan.request is not None:
            self._pack(made)
        self._words, self._known, self.note, self._before, self._cache = now.words, None, now.note, plan.before, cache
        self._events, self._told, self._unwritten = now.events, now.told, plan.unwritten
        self.camera = plan.path[-1].to(dtype=self.camera.pose.dtype)
        self.event, self.chunk, self._unseen = (
            self.event if plan.event is None else plan.event,
            self.chunk + 1,
            self._unseen + 1,
        )
        if plan.action is not None:
            self.actions.append(plan.action)
        recalled = stack([m.camera for m in plan.memories]) if plan.memories else plan.path[:0]
        told = bool(now.told) and cfg.memory is not None and cfg.memory.detail
        hint = plan.hint if told else drop_contradicted(cfg.memory, new.z, new.hint, plan.hint)
        return Dream(new, plan.path, recalled, hint, plan.stopped, plan.packed, plan.packed_from, told)

    def finish_decoding(self, decoded: Decoded) -> Tensor:
        """Take over what was decoded, and return its frames, uint8 ``[F, 3, H, W]``. ValueError for NaN: no change."""
        made, after = decoded
        frames, self._decoder = to_bytes(torch.cat([pixels.rgb[0] for pixels, _ in made])), after  # bytes first: it refuses NaN
        for pixels, camera in made:
            if self._bank is not None:
                self._bank.remember(pixels.rgb[0, -1], pixels.depth[0, -1], camera)
        return frames

    def finish_dream(self, decoded: Decoded) -> Tensor:
        """Take over what was decoded of a dream, so that the next may be planned (``finish_decoding``)."""
        frames = self.finish_decoding(decoded)
        self._unseen -= 1
        return frames

    def plan_ahead(self) -> AheadPlan | None:
        """Plan to dream the view ahead, once a chunk; None where memory knows it, or nothing is dreamt ahead."""
        cfg, bank, last = self.config.foresight, self._bank, self.actions[-1] if self.actions else None
        if cfg is None or bank is None or last is None or self._words is None or isinstance(vae := self.vae, WanVAE):
            return None
        asked, self._looked = self._looked, self.chunk  # once a chunk, whoever asks first
        # Standing still uncovers nothing, and where a place is known by heart, nothing has to be dreamt.
        needed = asked != self.chunk and last.switches.memory and number_of(self.places, self._at) is None
        if not needed or not bool(last.controls.turn.any() or last.controls.move.any()):
            return None
        there = extrapolate_path(self.camera, last.controls, cfg.latents, self.config.up)
        rng = torch.Generator().manual_seed(self._rng().initial_seed() + _OTHER)
        blank, lane = self._noise(there[-1:].map(lambda x: x[None]), rng), last.switches.camera
        request = ChunkRequest(self.dit, blank, self._words, self._cache, self.config.sampler, rng, lane)
        return plan_view_ahead(cfg, vae, bank, there, request)

    def finish_ahead(self, plan: AheadPlan, made: Frames) -> None:
        """Remember the view that was dreamt ahead."""
        assert self._bank is not None and isinstance(self.vae, VAE), "a plan was made"
        imagine_view(self.vae, self._decoder, self._bank, plan, made)


_OTHER = 2**40  # what is foreseen draws other noise than the chunk
