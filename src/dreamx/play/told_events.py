"""Events of a world for the page: those that can happen where one is, those that go on, and the note on words that name none."""

from __future__ import annotations

from dreamx.event_phases import split_words
from dreamx.play.server_messages import EventProgress
from dreamx.world import World

_UNTAUGHT = "This world was not taught that what is said happens, so little may come of it."


def possible_events(world: World) -> list[str]:
    """Return the names of the events that can happen where a session is: all but those that a home place has no sky for, or has
    one; all of them where that is unknown."""
    every = world.happenings
    if every and world.place is not None:
        from dreamx.data.scene.homes.home import HOMES  # only here: it takes a third of a second

        if (place := HOMES.get(world.place)) is not None:
            every = tuple(event for event in every if (event.indoors if place.SKY is None else event.outdoors))
    return [event.name for event in every]


def event_progress(world: World) -> tuple[EventProgress, ...]:
    """Return the events that were told with the newest chunk."""
    return tuple(EventProgress(o.name, o.phase, round(world.seconds_before(o.began), 2)) for o in world.ongoing)


def event_note(world: World, said: str) -> str:
    """Return sentences for the player on what was ``said``: whether it can come true, and what of it is not read; or ``""``."""
    return " ".join(filter(None, (_about(world, said), world.note)))


def _about(world: World, said: str) -> str:
    if world.taught is not None and not world.taught.events:
        return _UNTAUGHT
    if not world.happenings or not split_words(said, world.happenings)[0].strip():
        return ""
    return f"This world was taught: {', '.join(possible_events(world))}; for other words little may come of it."
