"""Bodies under forces, by MuJoCo, without a picture: where everything is on each frame, how fast, and what touched what.

The scene takes part as the ground and as boxes where its map says that nobody can stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamx.data.opengl import gl
from dreamx.data.scene.scene import CELL, RADIUS, Scene
from dreamx.data.sim.bodies import Array, Body, Form, Grip, Kick, MotionLog, Point, Torque, Touch, matrix, turned

STEP = 1 / 240  # seconds
_SLOW = 4  # steps for which what is put somewhere stays there
WALL = 2.0  # metres high: what the map blocks
#: At a moment: the poses of bodies that go where they are put, by number.
Drive = Callable[[float], dict[int, Array]]


def run(scene: Scene, bodies: Sequence[Body], frames: int, fps: float, drive: Drive, near: tuple[float, float],
        kicks: Sequence[Kick] = (), torques: Sequence[Torque] = (), grips: Sequence[Grip] = ()) -> MotionLog:  # fmt: skip
    """Physics of ``frames`` frames from the bodies' first places. ``near``: the middle of it on the plan, metres.

    A pure function: the same arguments give the same log, bit for bit, on one machine.
    """
    if not bodies:
        return MotionLog(fps, np.zeros((frames, 0, 7)), np.zeros((frames, 0, 2)))
    mj = gl(8, 8)  # the way to draw is chosen when MuJoCo is imported, so nothing may import it before
    model, names = _model(mj, scene, bodies, grips, near)
    data = mj.MjData(model)
    todo = sorted(kicks, key=lambda k: k.time)
    poses, speeds = np.zeros((frames, len(bodies), 7)), np.zeros((frames, len(bodies), 2))
    touches: list[Touch] = []
    step, force = 0, np.zeros(6)
    placed = _Placed(model, data, names)
    for frame in range(frames):
        strongest: dict[tuple[int, int], tuple[float, float]] = {}
        while step == 0 or step * STEP < frame / fps - 1e-9:
            now = step * STEP
            if step % _SLOW == 0:
                placed.put(drive(now))
            while todo and todo[0].time <= now:
                kick = todo.pop(0)
                at = model.jnt_dofadr[model.body_jntadr[names[kick.body]]]
                data.qvel[at : at + 3] = kick.velocity
            data.qfrc_applied[:] = 0
            for torque in torques:
                if torque.start <= now < torque.end:
                    data.qfrc_applied[model.jnt_dofadr[model.body_jntadr[names[torque.body]]]] += torque.newton_metres
            for number, grip in enumerate(grips):
                placed.hold(number, names[grip.body], names[grip.carrier], grip.start <= now < grip.end)
            mj.mj_step(model, data)
            step += 1
            if step % 2:
                continue
            pairs = np.sort(placed.thing[data.contact.geom[: data.ncon]], -1)
            for number in np.nonzero(pairs[:, 0] != pairs[:, 1])[0]:
                mj.mj_contactForce(model, data, number, force)
                if force[0] > 0.05:
                    pair = int(pairs[number, 0]), int(pairs[number, 1])
                    first, most = strongest.get(pair, (now, 0.0))
                    strongest[pair] = (first, max(most, float(force[0])))
        for number, body in names.items():
            poses[frame, number] = np.concatenate([data.xpos[body], data.xquat[body]])
            mj.mj_objectVelocity(model, data, mj.mjtObj.mjOBJ_BODY, body, force, 0)
            speeds[frame, number] = np.linalg.norm(force[3:]), np.linalg.norm(force[:3])
        touches += [Touch(time, *pair, most) for pair, (time, most) in sorted(strongest.items())]
    for number, body in enumerate(bodies):
        if body.mass is None and frames > 1:  # what is put somewhere has no velocity of its own
            moved = np.linalg.norm(np.diff(poses[:, number, :3], axis=0), axis=-1) * fps
            speeds[:, number, 0] = np.concatenate([moved[:1], moved])
    if not np.isfinite(poses).all() or np.abs(poses[..., :3]).max() > 1e3:
        raise ArithmeticError("physics ran away")
    return MotionLog(fps, poses, speeds, tuple(touches))


class _Placed:
    """The bodies inside MuJoCo's arrays."""

    def __init__(self, model: Any, data: Any, names: dict[int, int]) -> None:
        self.model, self.data, self.names = model, data, names
        self.thing = model.geom_user[:, 0].astype(int)  # of each geom

    def put(self, poses: dict[int, Array]) -> None:
        for number, at in poses.items():
            slot = self.model.body_mocapid[self.names[number]]
            self.data.mocap_pos[slot], self.data.mocap_quat[slot] = at[:3], at[3:]

    def hold(self, number: int, body: int, carrier: int, held: bool) -> None:
        """Switch a grip; when it closes, the body stays as it lies in the hand."""
        if held and not self.data.eq_active[number]:
            hand = self.model.body_mocapid[carrier]
            r = matrix(self.data.mocap_quat[hand])
            q = self.data.xquat[body] if self.data.time > 0 else self.model.body_quat[body]
            at = self.data.xpos[body] if self.data.time > 0 else self.model.body_pos[body]
            self.model.eq_data[number, :3] = 0  # the anchor, in the body's axes
            self.model.eq_data[number, 3:6] = r.T @ (at - self.data.mocap_pos[hand])
            a, b = self.data.mocap_quat[hand] * (1, -1, -1, -1), q
            self.model.eq_data[number, 6:10] = _times(a, b)
        self.data.eq_active[number] = held


def _times(a: Array, b: Array) -> Array:
    """The product of two quaternions."""
    w, x, y, z = b
    return np.array(((w, -x, -y, -z), (x, w, z, -y), (y, -z, w, x), (z, y, -x, w))) @ a


def _model(
    mj: Any, scene: Scene, bodies: Sequence[Body], grips: Sequence[Grip], near: tuple[float, float]
) -> tuple[Any, dict[int, int]]:
    """The compiled model, and the number of each body in it."""
    spec = mj.MjSpec()
    spec.nuser_geom = 1
    spec.option.timestep = STEP
    spec.option.integrator = mj.mjtIntegrator.mjINT_IMPLICITFAST
    ground = {"friction": (0.8, 0.02, 0.004), "condim": 6}
    spec.worldbody.add_geom(type=mj.mjtGeom.mjGEOM_PLANE, size=(60, 60, 1), userdata=[0], **ground)
    for x, y, half_x, half_y in walls(scene, near):
        spec.worldbody.add_geom(type=mj.mjtGeom.mjGEOM_BOX, size=(half_x, half_y, WALL / 2), pos=(x, y, WALL / 2), userdata=[0])
    for number, body in enumerate(bodies):
        made = spec.worldbody.add_body(name=f"b{number}", pos=body.at, quat=turned(body.yaw), mocap=body.mass is None)
        if body.hinge is not None:
            made.add_joint(
                type=mj.mjtJoint.mjJNT_HINGE,
                axis=(0, 0, 1),
                pos=body.hinge.at,
                range=(0, np.radians(body.hinge.widest)),
                limited=True,
                damping=[3.0, 0.0, 0.0],
                frictionloss=0.4,
            )
        elif body.mass is not None:
            made.add_freejoint()
        for form in body.forms:
            kind, size = _shape(mj, form)
            rubs = ground if body.friction is None else {**ground, "friction": (body.friction, 0.02, 0.004), "priority": 1}
            made.add_geom(
                type=kind,
                size=size,
                pos=form.at,
                mass=(body.mass or 0) / len(body.forms),
                userdata=[body.thing],
                solref=(0.02, 1.0 - 0.75 * body.bounce),
                **rubs,
            )
    for grip in grips:
        spec.add_equality(type=mj.mjtEq.mjEQ_WELD, name1=f"b{grip.carrier}", name2=f"b{grip.body}", active=False,
                          objtype=mj.mjtObj.mjOBJ_BODY, solref=(0.01, 1))  # fmt: skip
    spec.compiler.degree = False
    model = spec.compile()
    return model, {n: mj.mj_name2id(model, mj.mjtObj.mjOBJ_BODY, f"b{n}") for n in range(len(bodies))}


def _shape(mj: Any, form: Form) -> tuple[Any, Point]:
    x, y, z = (s / 2 for s in form.size)
    return {
        "box": (mj.mjtGeom.mjGEOM_BOX, (x, y, z)),
        "ball": (mj.mjtGeom.mjGEOM_SPHERE, (x, 0.0, 0.0)),
        "rod": (mj.mjtGeom.mjGEOM_CYLINDER, (x, z, 0.0)),
        "limb": (mj.mjtGeom.mjGEOM_CAPSULE, (x, max(z - x, 1e-3), 0.0)),
        "cone": (mj.mjtGeom.mjGEOM_CYLINDER, (0.7 * x, z, 0.0)),
    }[form.shape]


def walls(scene: Scene, near: tuple[float, float], reach: float = 5.0) -> list[tuple[float, float, float, float]]:
    """Boxes (middle x, y, half sides) that cover what the map blocks near a place, without the walker's own radius."""
    n, k = len(scene.blocked), round(RADIUS / CELL)
    solid = _shrunk(scene.blocked, k)
    row, col = (round((p + scene.half) / CELL) for p in (near[1], near[0]))
    d = round(reach / CELL)
    r0, c0 = max(row - d, 0), max(col - d, 0)
    part = solid[r0 : min(row + d, n), c0 : min(col + d, n)].copy()
    boxes: list[tuple[float, float, float, float]] = []
    while part.any():
        i, j = (int(v) for v in np.argwhere(part)[0])
        across = int(np.argmin(np.append(part[i, j:], False)))
        down = 1
        while i + down < len(part) and part[i + down, j : j + across].all():
            down += 1
        part[i : i + down, j : j + across] = False
        boxes.append(((c0 + j + across / 2) * CELL - scene.half, (r0 + i + down / 2) * CELL - scene.half,
                      across * CELL / 2, down * CELL / 2))  # fmt: skip
    return boxes


def _shrunk(blocked: NDArray[np.bool_], cells: int) -> NDArray[np.bool_]:
    """The blocked area without a rim of so many cells."""
    out = blocked.copy()
    for axis in (0, 1):
        for shift in range(1, cells + 1):
            for way in (1, -1):
                moved = np.roll(blocked, way * shift, axis)
                out &= moved
        blocked = out.copy()
    return out
