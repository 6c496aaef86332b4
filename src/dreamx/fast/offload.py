"""Low memory: a network whose weights come to the device only while they are used, and may rest in fewer bytes than they compute.

Hooks do it; the network's code is unchanged. Weights are never written back, because nothing changes them; so this is for making
video, not for training. The output equals that of the whole network on the device, bit for bit.

    offload(dit, torch.device("cuda"), ahead=True)                   the blocks rest in main memory, two of them are on the GPU
    offload(dit, torch.device("cpu"), torch.float32)                 bfloat16 weights (memory-mapped, if so loaded) on a CPU
                                                                     that is slow at bfloat16: one block at a time in float32
    lend([[text]], torch.device("cuda"))                             the text encoder is on the GPU while it reads a prompt
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from dreamx.frames import Frames
from dreamx.model.dit import DiT


@dataclass(frozen=True, eq=False)
class Weight:
    """One tensor of a module, where it rests."""

    owner: nn.Module
    name: str
    rest: nn.Parameter | Tensor

    def put(self, x: Tensor) -> None:
        """Let the module compute with ``x`` instead."""
        if isinstance(self.rest, nn.Parameter) and not isinstance(x, nn.Parameter):
            x = nn.Parameter(x, requires_grad=False)  # a module refuses a plain tensor under a parameter's name
        setattr(self.owner, self.name, x)


class Loan:
    """Groups of modules whose weights are lent to a device. ``here``: what is on loan; ``most``: the most bytes ever at once."""

    def __init__(
        self, groups: Sequence[Sequence[nn.Module]], device: torch.device, dtype: torch.dtype | None, ahead: bool
    ) -> None:
        self.device, self.dtype, self.ahead = device, dtype, ahead
        self.groups = [list(chain.from_iterable(map(_weights, modules))) for modules in groups]
        self.here: dict[int, list[Tensor]] = {}
        self.most = 0
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None  # copies of their own beside the computation
        self._hooks = [m[0].register_forward_pre_hook(partial(self._enter, i)) for i, m in enumerate(groups)]
        # always_call: a pass that fails must not leave its weights on the device.
        self._hooks += [m[-1].register_forward_hook(partial(self._leave, i), always_call=True) for i, m in enumerate(groups)]

    @property
    def bytes(self) -> int:
        """Bytes of the blocks on the device now."""
        return sum(x.nbytes for x in chain.from_iterable(self.here.values()))

    def end(self) -> None:
        """Everything rests again, for good: the modules are as they were before."""
        for hook in self._hooks:
            hook.remove()
        for i in list(self.here):
            self._rest(i)

    def _enter(self, group: int, module: nn.Module, inputs: object) -> None:
        self._fetch(group)
        if self._beside is not None:
            # The copy may still run: the products wait for it on the device, this thread does not.
            torch.cuda.current_stream(self.device).wait_stream(self._beside)
        for weight, x in zip(self.groups[group], self.here[group], strict=True):
            weight.put(x)
        if self.ahead:  # while this group computes; after the last comes the first, of the next pass
            self._fetch((group + 1) % len(self.groups))
        self.most = max(self.most, self.bytes)

    def _leave(self, group: int, module: nn.Module, inputs: object, output: object) -> None:
        self._rest(group)

    def _fetch(self, group: int) -> None:
        if group in self.here:
            return
        if self._beside is None:
            self.here[group] = [w.rest.detach().to(self.device, self.dtype) for w in self.groups[group]]
            return  # all at once: a processor has nobody to copy beside it
        with torch.cuda.stream(self._beside):
            moved = [w.rest.detach().to(self.device, non_blocking=True) for w in self.groups[group]]
            # Cast there: half the bytes cross the bus.
            self.here[group] = moved if self.dtype is None else [x.to(self.dtype) for x in moved]
        for x in self.here[group]:
            x.record_stream(torch.cuda.current_stream(self.device))  # else its memory is given away while it is computed with

    def _rest(self, group: int) -> None:
        for weight in self.groups[group]:
            weight.put(weight.rest)  # weights are never written, so nothing is copied back
        self.here.pop(group, None)  # the last reference: the allocator has the memory again


def lend(
    groups: Sequence[Sequence[nn.Module]], device: torch.device, dtype: torch.dtype | None = None, ahead: bool = False
) -> Loan:
    """From now on the weights of each group are on ``device`` (in ``dtype``, if given) only while its modules compute.

    A group's modules follow each other, and so do the groups, if the next one is to come ``ahead`` of its turn. For a copy that
    runs beside the computation, weights that rest in main memory must be pinned (``Tensor.pin_memory``).
    """
    if not groups or not all(groups):
        raise ValueError("groups: there must be one or more, of one or more modules each")
    return Loan(groups, device, dtype, ahead)


def offload(dit: DiT, device: torch.device, dtype: torch.dtype | None = None, group: int = 1, ahead: bool = False) -> Loan:
    """The transformer on ``device`` with at most ``group`` blocks there at once, or twice that where the next come ``ahead``.

    All but the blocks (1 % of the 5B) moves there for good. ``dtype``: it computes in this; None: in that of its weights. It is
    called as before: frames and text may be anywhere and in float32, and so is the answer.
    """
    if group < 1:
        raise ValueError(f"group: must be 1 block or more, not {group}")
    for part in (dit.patch, dit.hint, dit.text, dit.time, dit.time_blocks, dit.norm, dit.head):
        if part is not None:
            part.to(device, dtype)
    dit.modulation.data = dit.modulation.data.to(device, dtype)
    blocks = list(dit.blocks)
    border(dit)
    return lend([blocks[i : i + group] for i in range(0, len(blocks), group)], device, dtype, ahead)


def border(dit: DiT) -> None:
    """Let a transformer be called with frames and text from anywhere, and answer there, in the dtype of the latents.

    The sampler then counts in float32 on its own device, whatever the network computes in and wherever it is.
    """
    asked: list[Tensor] = []  # the caller's latents, until the answer is back

    def go(module: nn.Module, inputs: tuple[Frames, Tensor, object]) -> tuple[Frames, Tensor, object]:
        frames, text, attend = inputs
        asked[:] = [frames.z]
        to = dit.patch.weight
        hint = None if frames.hint is None else frames.hint.to(to.device, to.dtype)
        # Not cast to the network's dtype: bfloat16 would round noise levels and metres to 3 digits.
        sigma, index, camera = (
            frames.sigma.to(to.device),
            frames.index.to(to.device),
            frames.camera.map(lambda x: x.to(to.device)),
        )
        moved = replace(frames, z=frames.z.to(to.device, to.dtype), sigma=sigma, index=index, camera=camera, hint=hint)
        return moved, text.to(to.device, to.dtype), attend

    def come_back(module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> Tensor:
        return output.to(asked.pop())

    dit.register_forward_pre_hook(go, prepend=True)  # a border within a border: the outer one sees the caller first and last
    dit.register_forward_hook(come_back)


def _weights(module: nn.Module) -> list[Weight]:
    """All parameters and buffers of a module and the modules in it."""
    found: list[Weight] = []
    for owner in module.modules():
        own = chain(owner.named_parameters(recurse=False), owner.named_buffers(recurse=False))
        found += [Weight(owner, name, x) for name, x in own]
    return found
