"""The events of the simulator: what acts in them, and how much free ground they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dreamx.data.sim import carrying, rolling, scenic
from dreamx.data.sim.bodies import EventSpot
from dreamx.data.sim.event_builder import Setup

Act = Callable[[Setup, EventSpot], None]


@dataclass(frozen=True)
class EventKind:
    """A kind of event.

    ``length`` and ``width`` in metres of the free ground; 0: none, it is of the air; ``tall`` is what must be seen of it.
    The first ``lanes`` of the acts happen side by side; the others are everywhere.
    """

    name: str
    acts: tuple[Act, ...]
    length: float = 0.0
    width: float = 0.0
    lanes: int = 1
    outdoors: bool = False
    indoors: bool = False
    tall: float = 1.0


TOPPLE = EventKind("topple", (rolling.topple,), 3.4, 1.0)
COLLIDE = EventKind("collide", (rolling.collide,), 3.4, 1.0)
DOOR = EventKind("door", (rolling.door,), 1.8, 1.8, tall=2.2)
DROP = EventKind("drop", (rolling.drop,), 1.4, 1.4, tall=2.4)
PUSH = EventKind("push", (carrying.push,), 3.6, 1.0, tall=1.7)
PUSH_OVER = EventKind("push over", (carrying.push_over,), 3.4, 1.0, tall=1.7)
LIFT = EventKind("lift", (carrying.lift,), 2.8, 1.0, tall=1.7)
LET_GO = EventKind("let go", (carrying.let_go,), 2.8, 1.0, tall=1.7)
HAND_OVER = EventKind("hand over", (carrying.hand_over,), 3.0, 1.0, tall=1.7)
LIGHTS = EventKind("lights", (scenic.lights,), indoors=True)
DAYTIME = EventKind("daytime", (scenic.daytime,), outdoors=True)
FOG = EventKind("fog", (scenic.fog,), outdoors=True)
RAIN = EventKind("rain", (scenic.rain,), outdoors=True)
COLOUR = EventKind("colour", (scenic.colour,), 1.6, 1.0)
APPEAR = EventKind("appear", (scenic.appear,), 1.6, 1.0)
VANISH = EventKind("vanish", (scenic.vanish,), 1.6, 1.0)

SINGLE = (
    TOPPLE,
    COLLIDE,
    DOOR,
    DROP,
    PUSH,
    PUSH_OVER,
    LIFT,
    LET_GO,
    HAND_OVER,
    LIGHTS,
    DAYTIME,
    FOG,
    RAIN,
    COLOUR,
    APPEAR,
    VANISH,
)
COMPOSED = (
    EventKind("relay", (rolling.relay,), 3.8, 1.0),
    EventKind("topple and drop", (rolling.topple, rolling.drop), 3.4, 2.6, 2, tall=2.4),
    EventKind("push and appear", (carrying.push, scenic.appear), 3.6, 2.2, 2),
    EventKind("topple and lights", (rolling.topple, scenic.lights), 3.4, 1.0, indoors=True),
    EventKind("hand over and vanish", (carrying.hand_over, scenic.vanish), 3.0, 2.2, 2),
    EventKind("door and colour", (rolling.door, scenic.colour), 2.0, 3.2, 2, tall=2.2),
    EventKind("let go and fog", (carrying.let_go, scenic.fog), 2.8, 1.0, outdoors=True),
    EventKind("collide and rain", (rolling.collide, scenic.rain), 3.4, 1.0, outdoors=True),
    EventKind("lift and daytime", (carrying.lift, scenic.daytime), 2.8, 1.0, outdoors=True),
    EventKind("push over and collide", (carrying.push_over, rolling.collide), 3.4, 2.4, 2),
)
