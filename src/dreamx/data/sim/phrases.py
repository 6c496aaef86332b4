"""The many ways to say what happens. Some ways are kept for evaluation and are never said to a model that trains.

``{a}`` and ``{b}`` are the others that take part, ``{s}`` is who did it (said of two together), ``{hue}`` a colour.
"""

# A table: one way a line would be ten pages.
# ruff: noqa: E501
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ways:
    """Ways to say one thing: those for training, and those that are held out."""

    train: tuple[str, ...]
    held: tuple[str, ...]


def phrasing(ways: Ways, rng: np.random.Generator, held_out: bool) -> str:
    """One way, drawn. ``held_out``: from the ways kept for evaluation, and else never from those."""
    return str(rng.choice(ways.held if held_out else ways.train))


DID: dict[str, Ways] = {
    "rolls": Ways(("rolls along the ground", "starts rolling", "rolls forward", "comes rolling", "rolls across the floor", "begins to roll"),
                  ("trundles along", "sets off at a roll")),
    "rolls into": Ways(("rolls into {a}", "rolls towards {a} and hits it", "runs into {a}", "comes rolling and strikes {a}", "rolls straight at {a}", "bumps into {a}"),
                       ("barrels into {a}", "goes bowling into {a}")),
    "collides": Ways(("{s} and {a} collide", "{s} hits {a}", "{s} and {a} run into each other", "{s} crashes into {a}", "{a} is struck by {s}", "{s} bumps against {a}"),
                     ("{s} smacks into {a}", "the paths of {s} and {a} end in a crash")),
    "is hit": Ways(("is pushed aside by the impact", "slides away after the hit", "is knocked back", "jolts as it is hit", "moves when it is struck", "gets shoved by the blow"),
                   ("lurches under the blow", "is sent skidding")),
    "rebounds": Ways(("rolls on after the impact", "bounces off", "is turned aside", "rolls away again", "recoils and rolls on", "rebounds"),
                     ("ricochets off", "caroms away")),
    "sets off": Ways(("{s} sets {a} rolling", "{s} hits {a}, which starts to roll", "{a} is set in motion by {s}", "{s} passes its motion on to {a}", "{s} knocks {a} forward"),
                     ("{s} sends {a} on its way", "the momentum of {s} goes over to {a}")),
    "falls over": Ways(("falls over", "collapses", "comes tumbling down", "is knocked down", "topples", "falls apart"),
                       ("goes down in a heap", "scatters in all directions")),
    "knocks over": Ways(("{s} knocks over {a}", "{s} makes {a} collapse", "{a} is toppled by {s}", "{s} hits {a} and it falls", "{a} falls because {s} hits it", "{s} brings down {a}"),
                        ("{s} bowls over {a}", "{s} wrecks {a}")),
    "falls": Ways(("falls to the ground", "drops", "falls down", "drops to the floor", "plunges down", "falls straight down"),
                  ("plummets", "hurtles to the ground")),
    "bounces": Ways(("bounces and comes to rest", "hits the ground and bounces", "bounces a few times", "jumps up again and settles", "rebounds from the ground"),
                    ("springs back off the floor", "hops until it lies still")),
    "lands": Ways(("lands and stays where it is", "hits the ground", "lands with a thud", "comes to rest on the ground", "strikes the floor and stops"),
                  ("thumps down and lies still", "ends its fall on the ground")),
    "comes to rest": Ways(("comes to rest on the ground", "rolls a little and stops", "settles on the floor", "lies still at last", "ends up on the ground"),
                          ("finds its place on the floor", "peters out on the ground")),
    "opens": Ways(("opens", "swings open", "is opened", "turns on its hinges and opens", "slowly opens", "moves open"),
                  ("swings ajar and then wide", "yields and stands open")),
    "closes": Ways(("closes again", "swings shut", "shuts", "falls closed", "is closed again", "turns back and closes"),
                   ("claps to", "returns to its frame")),
    "pushes": Ways(("pushes {a} along", "walks up to {a} and pushes it", "pushes {a} forward", "moves {a} by pushing it", "shoves {a} across the ground", "leans on {a} and pushes"),
                   ("heaves {a} onward", "drives {a} ahead with both hands")),
    "slides": Ways(("slides over the ground", "is pushed along", "moves forward under the push", "scrapes along the floor", "slides ahead", "glides forward"),
                   ("grates across the ground", "yields and travels ahead")),
    "is pushed by": Ways(("{a} is pushed by {s}", "{s} pushes {a}", "{s} moves {a} by hand", "the hands of {s} push {a}", "{a} moves because {s} pushes it"),
                         ("{a} gives way to the push of {s}", "{s} sets {a} in motion by hand")),
    "pushes over": Ways(("pushes over {a}", "walks up to {a} and tips it over", "gives {a} a push so that it falls", "topples {a} by hand", "knocks {a} down with both hands"),
                        ("upends {a}", "sends {a} toppling")),
    "tips over": Ways(("tips over", "falls on its side", "topples and hits the ground", "keels over", "falls over"), ("pitches over", "goes over with a bang")),
    "lifts": Ways(("lifts {a}", "picks {a} up", "raises {a} with both hands", "takes {a} and lifts it", "lifts up {a}", "picks up {a} and holds it high"),
                  ("hoists {a}", "heaves {a} up")),
    "rises": Ways(("rises from {a}", "is lifted off {a}", "goes up into the air", "leaves {a}", "moves upwards"), ("is hoisted clear of {a}", "takes leave of {a}")),
    "carries": Ways(("carries {a}", "walks along with {a}", "brings {a}", "holds {a} and walks", "walks forward carrying {a}"), ("bears {a} along", "strolls up with {a} in hand")),
    "lets go of": Ways(("drops {a}", "lets go of {a}", "lets {a} fall", "releases {a}", "opens the hands and drops {a}"), ("loses hold of {a}", "leaves {a} to gravity")),
    "hands over": Ways(("hands {a} to {b}", "gives {a} to {b}", "passes {a} to {b}", "hands over {a} to {b}", "holds {a} out to {b}"), ("entrusts {a} to {b}", "makes over {a} to {b}")),
    "takes": Ways(("takes {a} from {b}", "receives {a} from {b}", "accepts {a}", "reaches out and takes {a}", "gets {a} from {b}"), ("relieves {b} of {a}", "collects {a} out of the hands of {b}")),
    "passes to": Ways(("{s} hands {b} to {a}", "{b} goes from {s} to {a}", "{s} gives {b} to {a}", "{a} takes {b} from {s}", "{b} changes hands from {s} to {a}"),
                      ("{b} wanders from {s} over to {a}", "{s} parts with {b} in favour of {a}")),
    "lights out": Ways(("goes out", "is switched off", "suddenly goes off", "turns dark", "is turned off"), ("dies", "is extinguished")),
    "lights on": Ways(("comes on", "is switched on", "goes on again", "is turned on", "lights everything up"), ("springs to life", "floods the place")),
    "evening falls": Ways(("turns to evening", "fades into sunset colours", "grows red towards evening", "changes from day to evening", "takes on the colours of sunset"),
                          ("reddens as the day ends", "sinks into twilight")),
    "night falls": Ways(("turns to night", "grows dark as night falls", "goes from day to night", "darkens into night", "becomes a night sky"), ("is swallowed by the night", "dims until it is night")),
    "day breaks": Ways(("brightens into day", "grows light", "turns to day", "becomes light as the day begins", "clears into daylight"), ("is flooded by daybreak", "wakes into full day")),
    "clouds gather": Ways(("clouds over", "turns grey", "grows dark with clouds", "becomes overcast", "fills with grey clouds"), ("draws a grey veil", "thickens into a leaden grey")),
    "sky clears": Ways(("clears up", "turns from grey to bright", "becomes clear again", "opens up and brightens", "loses its clouds"), ("shakes off its clouds", "breaks into sunshine")),
    "fog comes": Ways(("rolls in", "comes up", "grows thicker", "fills the scene", "spreads everywhere"), ("creeps in", "swallows the distance")),
    "fog lifts": Ways(("lifts", "thins out", "clears away", "dissolves", "disappears"), ("melts away", "gives back the distance")),
    "rain begins": Ways(("begins to fall", "starts", "sets in", "comes down", "pours down more and more"), ("comes pelting", "breaks loose")),
    "rain stops": Ways(("stops", "comes to an end", "lets up", "ceases", "dries up"), ("blows over", "gives out")),
    "changes colour": Ways(("changes colour and becomes {hue}", "turns {hue}", "changes to {hue}", "becomes {hue}", "takes on a {hue} colour"), ("flushes {hue}", "is dyed {hue}")),
    "appears": Ways(("appears", "comes into being", "shows up out of nothing", "becomes visible", "is suddenly there"), ("materialises", "pops into existence")),
    "vanishes": Ways(("vanishes", "disappears", "is gone", "fades away", "is suddenly no longer there"), ("dissolves into thin air", "ceases to exist")),
}  # fmt: skip

#: What does it where no body does, and what the event is about in a few words.
OF_ITSELF: dict[str, str] = {
    "lights out": "the light", "lights on": "the light", "evening falls": "the sky", "night falls": "the sky", "day breaks": "the sky",
    "clouds gather": "the sky", "sky clears": "the sky", "fog comes": "the fog", "fog lifts": "the fog", "rain begins": "the rain", "rain stops": "the rain",
}  # fmt: skip

OPENING = Ways(
    ("{place} {light}", "A view of {place} {light}", "We see {place} {light}", "The scene is {place} {light}", "The camera shows {place} {light}", "This is {place} {light}"),
    ("Before us lies {place} {light}", "Our gaze rests on {place} {light}"),
)  # fmt: skip
WALK = Ways(
    ("A first-person walk through {place} {light}", "Walking through {place} {light}", "We explore {place} {light}", "Somebody walks through {place} {light}, seen through their eyes",
     "The camera wanders through {place} {light}"),
    ("We roam {place} {light}", "A stroll across {place} {light} in the first person"),
)  # fmt: skip
FOLLOW = Ways(
    ("{who} walks through {place} {light}, seen from behind", "The camera follows {who} through {place} {light}", "{who} explores {place} {light} while the camera stays behind",
     "A third-person view of {who} in {place} {light}", "We follow {who} through {place} {light}"),
    ("The camera trails {who} across {place} {light}", "At the heels of {who} we cross {place} {light}"),
)  # fmt: skip
AHEAD = Ways(
    (
        "Ahead there is {x}",
        "In front stands {x}",
        "Straight on one sees {x}",
        "{x} is right ahead",
        "In the middle of the view there is {x}",
    ),
    ("Facing us is {x}", "Dead ahead lies {x}"),
)
LEFT = Ways(
    ("On the left there is {x}", "To the left stands {x}", "{x} is on the left", "The left side shows {x}"),
    ("Leftwards one makes out {x}", "At the left hand lies {x}"),
)
RIGHT = Ways(
    ("On the right there is {x}", "To the right stands {x}", "{x} is on the right", "The right side shows {x}"),
    ("Rightwards one makes out {x}", "At the right hand lies {x}"),
)
CALM = Ways(
    (
        "The camera moves and nothing else does",
        "Nothing but the view changes",
        "All things stand still",
        "Everything stays where it is",
    ),
    ("Stillness rules apart from the camera", "The world itself keeps quiet"),
)
FIRST = Ways(
    ("First {x}", "At the beginning {x}", "At first {x}", "To begin with, {x}"), ("It starts out that {x}", "For openers {x}")
)
NEXT = Ways(
    ("then {x}", "after that {x}", "next {x}", "soon after {x}", "a moment later {x}"), ("thereupon {x}", "presently {x}")
)
ALONE = Ways(
    ("In this clip {x}", "During the shot {x}", "While we watch, {x}", "Here {x}"),
    ("As the camera rolls, {x}", "Before our eyes {x}"),
)
NEAR = Ways(("near {x}", "beside {x}", "next to {x}", "close to {x}"), ("hard by {x}", "within reach of {x}"))
SIDE = {
    "left": Ways(("on the left", "on the left side", "at the left", "to the left"), ("over at the left edge", "leftward")),
    "middle": Ways(("in the middle", "in the centre", "straight ahead", "at the centre"), ("squarely in view", "dead centre")),
    "right": Ways(("on the right", "on the right side", "at the right", "to the right"), ("over at the right edge", "rightward")),
}
DEEP = {
    "front": Ways(("in the foreground", "close to the camera", "near by"), ("right before us", "at close quarters")),
    "back": Ways(("in the background", "farther away", "at some distance"), ("off in the distance", "a good way off")),
}
