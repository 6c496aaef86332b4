"""A take: everything of a clip but its pictures. A pure function of a scene, a subset, an index and an attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamx.data.scene.scene import Scene
from dreamx.data.sim import paths, phrases
from dreamx.data.sim.bodies import Array, Body, EventSpot, Touch, Weather, pose
from dreamx.data.sim.event_builder import Setup, solid
from dreamx.data.sim.event_catalogue import COMPOSED, SINGLE, EventKind
from dreamx.data.sim.follow import follow
from dreamx.data.sim.narration import anchor, describe, tell
from dreamx.data.sim.navigation import Rejected, StandingPlace, find_spot, find_view, in_line, some_free
from dreamx.data.sim.person import BODIES, Arms, Stance, limbs
from dreamx.data.sim.physics import run
from dreamx.data.sim.walker import clear, path
from dreamx.events import Contact, Story
from dreamx.geometry.camera import Camera, se3_inverse
from dreamx.geometry.controls import Speed


@dataclass(frozen=True)
class SimulatedShot:
    """Format of takes: frames and frames per second, picture size, vertical view in degrees, phrasings for evaluation."""

    frames: int
    fps: float
    width: int
    height: int
    fov: float
    held_out: bool = False

    @property
    def speed(self) -> Speed:
        return Speed(fps=self.fps)

    @property
    def lens(self) -> tuple[int, int, float]:
        return self.width, self.height, self.fov


@dataclass(frozen=True)
class Take:
    """A take to draw and describe. Poses ``[F, B, 7]`` and tints ``[F, B, 4]`` are of the bodies, weather is of each frame."""

    scene: Scene
    kind: str
    camera: Camera
    actions: Tensor
    bodies: tuple[Body, ...]
    poses: Array
    tints: NDArray[np.float32]
    weather: tuple[Weather, ...]
    entities: dict[int, str]
    contacts: tuple[Contact, ...]
    story: Story
    subject: Tensor | None = None
    leads: tuple[int, ...] = ()  # things that must be seen


def first_person(scene: Scene, index: int, shot: SimulatedShot, rng: np.random.Generator) -> Take:
    """A walk through a scene in which a few things and people stand about."""
    kind, camera, actions = paths.discover(scene, index, shot.frames, rng, shot.speed, shot.lens)
    setup = Setup(scene, shot.frames / shot.fps, rng)
    _stand_about(setup, camera.pose[:, :3, 3].double().numpy()[:, (0, 2)], int(rng.integers(2, 6)))
    opening = describe(scene, camera[0], phrases.WALK, "", rng, shot.held_out)
    poses = np.stack([_still(setup)] * shot.frames)
    return _take(setup, kind, shot, camera, actions, poses, (), tell(scene, opening, [], {}, {}, {}, 0, rng, shot.held_out))


def third_person(scene: Scene, index: int, shot: SimulatedShot, rng: np.random.Generator) -> Take:
    """Someone walks from goal to goal, the camera behind. The actions are those of the person."""
    x, y = some_free(scene, rng)
    start = StandingPlace(x, y, float(rng.uniform(0, 360)))
    keys = ["".join(k for k in held if k not in "ik") for held in paths.to_goals(scene, start, shot.frames - 1, rng, shot.speed)]
    walked, actions = path(paths.camera_at(start, *shot.lens), keys, shot.speed)
    paths.check(scene, walked)
    p, f = walked.pose[:, :3, 3].double().numpy(), walked.pose[:, :3, 2].double().numpy()
    heading = np.degrees(np.unwrap(np.arctan2(f[:, 2], f[:, 0])))
    places = np.stack([p[:, 0], p[:, 2], heading], -1)
    camera = follow(scene, places, *shot.lens, shot.fps)
    setup = Setup(scene, shot.frames / shot.fps, rng)
    steps = np.concatenate([[0.0], np.linalg.norm(np.diff(places[:, :2], axis=0), axis=-1)])
    turns = np.concatenate([[0.0], abs(np.diff(heading))])
    walking = np.clip(np.maximum(steps * shot.fps / 1.0, 0.45 * turns * shot.fps / 24), 0, 1)
    walking = np.convolve(np.pad(walking, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    gone = np.cumsum(steps + np.where(steps < 0.01, turns * 0.012, 0))
    who, _, words = setup.person(lambda t: Stance(0, 0, 0, 0, 0))
    _stand_about(setup, places[:, :2], int(rng.integers(1, 4)))
    still = _still(setup)
    poses = np.stack([still] * shot.frames)
    for k in range(shot.frames):
        poses[k, :BODIES] = limbs(
            Stance(float(places[k, 0]), float(places[k, 1]), float(heading[k]), float(gone[k]), float(walking[k]), Arms())
        )
    opening = describe(scene, camera[0], phrases.FOLLOW, f"a {words}", rng, shot.held_out)
    story = tell(scene, opening, [], {}, {}, {}, 0, rng, shot.held_out)
    right_of_z = (90 - heading + 180) % 360 - 180
    subject = torch.from_numpy(np.stack([p[:, 0], np.zeros(len(p)), p[:, 2], right_of_z], -1)).float()
    return _take(setup, "follow", shot, camera, actions, poses, (), story, subject, (who,))


def events(scene: Scene, index: int, shot: SimulatedShot, rng: np.random.Generator) -> Take:
    """Something happens, by physics or to the light; single or composed; seen from a place with a view of it."""
    kinds = COMPOSED if rng.random() < 0.4 else SINGLE
    usable = [k for k in kinds if not (k.outdoors if scene.indoors else k.indoors)]
    return event(scene, shot, rng, usable[int(rng.integers(len(usable)))])


def event(scene: Scene, shot: SimulatedShot, rng: np.random.Generator, kind: EventKind) -> Take:
    """A take of one kind of event. Rejected: no room, nothing happened, nothing was to be seen."""
    setup = Setup(scene, shot.frames / shot.fps, rng)
    if kind.length:
        spot = find_spot(scene, rng, kind.length, kind.width)
        stand = find_view(scene, rng, spot, kind.tall, kind.length > 2.5)
        for act, lane in zip(kind.acts, _lanes(spot, kind, scene, stand), strict=True):
            act(setup, lane)
        camera, actions = _watch(scene, stand, spot, shot, rng)
    else:
        _, camera, actions = paths.discover(scene, 0, shot.frames, rng, shot.speed, shot.lens)
        spot = EventSpot(float(camera.pose[0, 0, 3]), float(camera.pose[0, 2, 3]), 0.0, 0.0, 0.0)
        for act in kind.acts:
            act(setup, spot)
    log = run(scene, setup.bodies, shot.frames, shot.fps, setup.drive, (spot.x, spot.y), setup.kicks, setup.torques, setup.grips)
    happenings = [h for tells in setup.tells for h in tells(log)]
    if min((h.start for h in happenings), default=0) >= setup.seconds:
        raise Rejected("it happens after the clip")
    anchors: dict[int, str] = {}
    for h in happenings:
        for thing in h.things[:1]:
            bodies = [n for n, b in enumerate(setup.bodies) if b.thing == thing and b.forms]
            frame = min(int(h.start * shot.fps), shot.frames - 1)
            middle = log.poses[frame, bodies, :3].mean(0)
            if not _in_picture(camera[frame], middle):
                raise Rejected("it happens out of the picture")
            anchors.setdefault(thing, anchor(scene, camera[frame], middle, rng, shot.held_out))
    opening = describe(scene, camera[0], phrases.OPENING, "", rng, shot.held_out)
    story = tell(scene, opening, happenings, setup.names, setup.groups, anchors, setup.seconds, rng, shot.held_out)
    leads = tuple(sorted({t for h in happenings for t in h.things if any(b.thing == t and b.forms for b in setup.bodies)}))
    return _take(setup, kind.name, shot, camera, actions, log.poses, log.touches, story, None, leads)


SUBSETS: dict[str, Callable[[Scene, int, SimulatedShot, np.random.Generator], Take]] = {
    "first_person": first_person,
    "third_person": third_person,
    "events": events,
}


def _take(
    setup: Setup,
    kind: str,
    shot: SimulatedShot,
    camera: Camera,
    actions: Tensor,
    poses: Array,
    touches: tuple[Touch, ...],
    story: Story,
    subject: Tensor | None = None,
    leads: tuple[int, ...] = (),
) -> Take:
    times = np.arange(shot.frames) / shot.fps
    tints = np.stack([setup.tint(float(t)) for t in times]).astype(np.float32)
    seen = {b.thing for b in setup.bodies if b.forms}
    entities = {i: words for i, words in setup.names.items() if i in seen}
    contacts = tuple(
        Contact(min(int(np.ceil(t.time * shot.fps - 1e-9)), shot.frames - 1), t.first, t.second, round(t.force, 2))
        for t in touches
    )
    return Take(
        setup.scene,
        kind,
        camera,
        actions,
        tuple(setup.bodies),
        poses,
        tints,
        tuple(setup.weather(float(t)) for t in times),
        entities,
        contacts,
        story,
        subject,
        leads,
    )


def _stand_about(setup: Setup, way: Array, count: int) -> None:
    """A few things and people where nobody walks, near the way."""
    r, scene = setup.rng, setup.scene
    for _ in range(count):
        for _ in range(30):
            at = way[int(r.integers(len(way)))] + r.uniform(-3.5, 3.5, 2)
            near = np.linalg.norm(way - at, axis=-1).min()
            others = [np.hypot(b.at[0] - at[0], b.at[1] - at[1]) for b in setup.bodies if b.at[2] > -1]
            if scene.free(*at) and near > 0.85 and min(others, default=9) > 0.8:
                break
        else:
            continue
        x, y, yaw = float(at[0]), float(at[1]), float(r.uniform(0, 360))
        if r.random() < 0.25:
            _, grip, _ = setup.person(lambda t, x=x, y=y, yaw=yaw: Stance(x, y, yaw, 0.0, 0.0))
            setup.bodies[grip] = Body(setup.bodies[grip].thing, (), (x, y, 0.0))  # so that the next keeps away
        else:
            shape, noun, size, pattern = (
                ("ball", "ball", (0.5, 0.5, 0.5), "stripes"),
                ("box", "crate", (0.55, 0.55, 0.55), "planks"),
                ("cone", "cone", (0.45, 0.45, 0.75), "plain"),
                ("rod", "barrel", (0.5, 0.5, 0.8), "stripes"),
            )[int(r.integers(4))]
            solid(setup, shape, size, (x, y, size[2] / 2), yaw, None, noun, pattern=pattern)


def _still(setup: Setup) -> Array:
    """The poses ``[B, 7]`` of bodies that stay where they were put."""
    out = np.stack([pose(b.at, b.yaw) for b in setup.bodies]) if setup.bodies else np.zeros((0, 7))
    for number, at in setup.drive(0.0).items():
        out[number] = at
    return out


def _lanes(spot: EventSpot, kind: EventKind, scene: Scene, stand: StandingPlace) -> list[EventSpot]:
    """One lane for each act of a kind, side by side, the middle one for an act alone."""
    acts = [k for k in range(len(kind.acts)) if k < kind.lanes]
    wide = spot.width / max(len(acts), 1)
    lanes = [spot.lane(spot.width / 2 - wide * (k + 0.5), wide) for k in acts]
    return lanes + [spot] * (len(kind.acts) - len(lanes))


def _watch(
    scene: Scene, stand: StandingPlace, spot: EventSpot, shot: SimulatedShot, rng: np.random.Generator
) -> tuple[Camera, Tensor]:
    """Keys that keep a spot in view: stand, look about a little, step aside or nearer, each free of collisions."""
    start = paths.camera_at(stand, *shot.lens)
    for _ in range(12):
        keys = [""] * int(rng.integers(4, 24))
        while len(keys) < shot.frames - 1:
            held = str(
                rng.choice(
                    ("", "a", "d", "al", "dj", "j", "l", "w", "s", "i", "k"),
                    p=(0.24, 0.1, 0.1, 0.12, 0.12, 0.07, 0.07, 0.06, 0.06, 0.03, 0.03),
                )
            )
            keys += [held] * int(rng.integers(4, 16))
        keys = keys[: shot.frames - 1]
        at, good = stand, True
        for held in keys:
            at = paths.follow_keys(at, held, shot.speed)
            off = (np.degrees(np.arctan2(spot.y - at.y, spot.x - at.x)) - at.heading + 180) % 360 - 180
            far = np.hypot(spot.x - at.x, spot.y - at.y)
            good = (
                good
                and abs(off) < 13
                and far > max(1.4, spot.width / 2 + 0.9)
                and abs(at.pitch - stand.pitch) < 9
                and bool(scene.free(at.x, at.y))
            )
        camera, actions = path(start, keys, shot.speed)
        if good and clear(scene, camera) and in_line(scene, (at.x, at.y), (spot.x, spot.y)):
            return camera, actions
    return path(start, [""] * (shot.frames - 1), shot.speed)


def _in_picture(camera: Camera, point: Array) -> bool:
    w2c = se3_inverse(camera.pose).double().numpy()
    x, y, z = (w2c @ np.array((point[0], -point[2], point[1], 1.0)))[:3]
    fx, fy = camera.lens[:2].tolist()
    return bool(z > 0.3 and abs(x / z * fx) < 0.47 and abs(y / z * fy) < 0.47)
