"""Describe a camera's path in one paragraph: metres, degrees, seconds."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamx.geometry.camera import Camera, relative_to
from dreamx.geometry.formats.keys import angles
from dreamx.geometry.formats.motion import Motion
from dreamx.geometry.formats.path_check import angle

_MOST = 6  # parts that are told one by one


def paragraph(motion: Motion) -> str:
    """The path as somebody would tell it who stands where it begins."""
    camera = relative_to(motion.camera, motion.camera[0])
    frames, seconds = len(camera), (len(camera) - 1) / motion.fps
    if frames == 1:
        return "One frame: the camera stands where it is."
    step = relative_to(camera[1:], camera[:-1]).pose
    way, turned = float(step[:, :3, 3].norm(dim=-1).sum()), float(angle(step[:, :3, :3]).sum())
    head = f"{frames} frames, {seconds:.1f} s at {motion.fps:g} frames a second."
    if way < 1e-3 and turned < 0.1:
        return f"{head} The camera stands still."
    told = "; then ".join(_parts(camera, motion.fps))
    right, down, ahead = camera.pose[-1, :3, 3].tolist()
    yaw, pitch = (float(a) for a in angles(camera.pose[-1, :3, :3]))
    places = [
        f"{abs(x):.2f} m {more if x > 0 else less}"
        for x, more, less in ((ahead, "ahead", "behind"), (right, "to the right", "to the left"), (-down, "higher", "lower"))
        if abs(x) >= 0.005
    ]
    looks = [
        f"{_degrees(x)} {more if x > 0 else less}"
        for x, more, less in ((yaw, "to the right", "to the left"), (pitch, "up", "down"))
        if abs(x) >= 0.5
    ]
    end = f"It ends {_list(places) or 'where it began'}, looking {_list(looks) or 'as at the beginning'}"
    speed = f"its way is {way:.2f} m long ({way / seconds:.2f} m/s) and it turns by {_degrees(turned)} in all"
    return f"{head} The camera {told}. {end}; {speed}."


def _parts(camera: Camera, fps: float) -> list[str]:
    """Describe the path part by part, cut where the motion changes; at most ``_MOST`` parts."""
    step = relative_to(camera[1:], camera[:-1]).pose
    yaw, pitch = angles(step[:, :3, :3])
    rates = torch.cat([step[:, :3, 3], yaw[:, None] / 20, pitch[:, None] / 20], 1) * fps  # 20 degrees a second weigh as 1 m/s
    ends = [0]
    for i in range(1, len(rates)):
        if float((rates[i] - rates[ends[-1] : i].mean(0)).norm()) > 0.25 * float(rates[i].norm() + rates[ends[-1]].norm() + 1e-3):
            ends.append(i)
    if len(ends) > _MOST:  # a path that nobody's keys made: as many equal parts
        ends = [round(i * len(rates) / _MOST) for i in range(_MOST)]
    spans = zip(ends, [*ends[1:], len(rates)], strict=True)
    return [_part(step[a:b, :3, 3], float(yaw[a:b].sum()), float(pitch[a:b].sum()), (b - a) / fps) for a, b in spans if b > a]


def _part(moves: Tensor, yaw: float, pitch: float, seconds: float) -> str:
    """``moves [n, 3]``: the steps along the camera's own axes, which say where it goes; their lengths say how far."""
    right, down, ahead = moves.sum(0).tolist()
    way = float(moves.norm(dim=-1).sum())
    said: list[str] = []
    axes = [(ahead, "forward", "backward"), (right, "right", "left"), (-down, "up", "down")]
    biggest = max(abs(x) for x, _, _ in axes)
    if biggest > 0.005:
        names = [more if x > 0 else less for x, more, less in axes if abs(x) > 0.2 * biggest]
        said.append(f"moves {way:.2f} m {' and '.join(names)}")
    for x, more, less in ((yaw, "turns {} to the right", "turns {} to the left"), (pitch, "tilts up by {}", "tilts down by {}")):
        if abs(x) >= 0.5:
            said.append((more if x > 0 else less).format(_degrees(x)))
    return f"{_list(said) or 'stands still'} in {seconds:.1f} s"


def _degrees(x: float) -> str:
    return f"{round(abs(x), 2):.0f} degrees"  # a sum of many steps is not 73.5 to the last bit, and must round as that does


def _list(words: list[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""
