"""The command line: ``dreamx COMMAND --flags``. A command is a function of one frozen dataclass, whose fields are the flags.

A command's module is imported when it is called, so that ``--help`` and ``play`` do not wait for the training code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, get_type_hints

from dreamx import manifest
from dreamx.interrupt import ending
from dreamx.plaintext import sentence
from dreamx.version import __version__

#: What each command runs (module:function) and what it is for; a dict is a command with commands of its own.
COMMANDS: dict[str, Any] = {
    "play": ("dreamx.play.server:main", "walk in a world in the browser"),
    "serve": ("dreamx.serve.serve_command:main", "the same for many: replicas on processors, GPUs and machines, by Ray Serve"),
    "generate": ("dreamx.generate:main", "walk along actions, a replay or an eval.json, and write videos"),
    "data": {
        "simulate": ("dreamx.data.sim.simulate:simulate", "clips of the simulator: walks, people, physics and events"),
        "render": ("dreamx.data.sim.simulate:render", "simulate --subset walk, as the worlds that we ship were trained on"),
        "proof": ("dreamx.data.sim.proof:main", "do depth, pose and lens of rendered clips agree? In pixels"),
        "sheet": ("dreamx.data.sim.sheet:sheet", "one picture of many clips, to look at"),
        "stills": ("dreamx.data.sim.stills:stills", "single pictures of many places with what is in them, for feature networks"),
        "starts": ("dreamx.data.sim.start_pictures:starts", "pictures to begin from, for the gallery of a world"),
        "doom": ("dreamx.data.importers.doom:doom", "clips of a game, ViZDoom with its Freedoom levels, walked by a script"),
        "import": (
            "dreamx.data.importers.run_import:import_clips",
            "clips out of other people's data sets, estimated cameras and plain videos",
        ),
        "curate": ("dreamx.data.quality.curate:curate", "keep the clips that are good, and say why the others are not"),
        "caption": (
            "dreamx.data.captioner.caption_clips:caption",
            "captions and events of real video, by any vision model behind an address",
        ),
        "report": ("dreamx.data.quality.quality_report:report", "a page: what was kept, what was dropped, and why"),
        "encode": ("dreamx.data.encode:encode", "clips to latents, once, for training"),
        "pack": ("dreamx.data.commands:pack", "a folder of clips, or a dataset, into a dataset"),
        "unpack": ("dreamx.data.commands:unpack", "a dataset into a folder of clips"),
        "export": ("dreamx.data.commands:export", "a dataset into WebDataset tars"),
        "import-wds": ("dreamx.data.commands:import_tars", "WebDataset tars into a dataset"),
    },
    "train": {
        "autoencoder": ("dreamx.train.autoencoder:main", "learn the codec between video and latents from clips"),
        "decoder": ("dreamx.train.decoder:main", "sharpen the decoder of a trained codec, by a critic; or prune it"),
        "depth": ("dreamx.train.depth:main", "learn to guess the depth of an opening picture, for memory"),
        "camera": ("dreamx.train.camera_control:main", "learn places from clips: cameras steer, both ways in time"),
        "places": ("dreamx.train.known_places:main", "learn places by heart: maps of them that say what a camera sees"),
        "causal": ("dreamx.train.causal:main", "from both ways in time to forward only, by teacher forcing"),
        "memory": ("dreamx.train.memory_stage:main", "to look at recalled frames of the past: packed memory"),
        "events": ("dreamx.train.event_tuning:main", "teach it what is said to happen"),
        "consistency": ("dreamx.train.consistency:main", "from many steps a chunk to four and fewer"),
        "distill": ("dreamx.train.distill:main", "match a teacher's distribution on rollouts of its own, short or long"),
        "reward": ("dreamx.train.reward:main", "reinforce what goes where it is told and looks real, of a distilled student"),
        "finetune": (
            "dreamx.train.finetune:main",
            "go on from a released checkpoint, or from a world of ours, on your own clips",
        ),
        "pose": ("dreamx.train.pose:main", "learn the depth by which cameras are read from pictures, for scores and rewards"),
        "classifier": ("dreamx.train.classifier:main", "learn to tell events in videos, for scores and rewards"),
        "features": ("dreamx.train.features:main", "learn the features by which dreams are compared with true renders"),
        "curriculum": ("dreamx.recipes.curriculum:main", "every stage of a recipe, from rendering to a world"),
    },
    "world": {
        "assemble": ("dreamx.recipes.assemble_world:main", "a world out of networks that were trained one by one"),
    },
    "eval": {
        "quick": ("dreamx.eval.quick:main", "the dream against the true render, beside two baselines"),
        "clips": ("dreamx.eval.own_clips:main", "your own clips: led along their cameras from their first picture"),
        "basic": ("dreamx.eval.commands:basic", "120 paths of 5 s: the paper's table, and the truth"),
        "long": ("dreamx.eval.commands:long", "100 paths of 30 s: does it hold?"),
        "memory": ("dreamx.eval.commands:memory", "60 paths of 10 s that come back: is it the place that it was?"),
        "events": ("dreamx.eval.commands:events", "52 things that are said to happen: do they, in time, and nothing else?"),
        "hold": ("dreamx.eval.commands:hold", "96 walks at home and on open ground: does it stay a world?"),
        "speed": ("dreamx.eval.speed:main", "chunk latency and key to frame, against session length"),
        "ablate": ("dreamx.eval.ablate:main", "worlds that differ in one thing, or in their steps, side by side"),
        "draw": ("dreamx.eval.commands:draw_suite_file", "a fresh suite of a law, as a file"),
        "compare": ("dreamx.eval.reporting.compare:main", "which differences between two reports are larger than the noise"),
        "classifiers": ("dreamx.eval.estimators.events.event_accuracy:main", "accuracy of event classifiers on true renders"),
        "features": ("dreamx.eval.estimators.features.feature_accuracy:main", "accuracy of feature networks on true renders"),
        "estimators": ("dreamx.eval.estimators.pose.pose_accuracy:main", "error of pose estimators on true renders"),
        "study": ("dreamx.eval.study.study_server:main", "ask people which of two sets of videos is better, blind"),
    },
    "bench": {
        "play": ("dreamx.bench:main", "does a world keep up with its own clock on this machine?"),
        "engine": ("dreamx.bench.engine:main", "how fast are transformer and decoder, and how near the machine's limit?"),
        "data": ("dreamx.bench.data:main", "a dataset's cost beside bare rendering, and memory over many clips"),
    },
    "calibrate": ("dreamx.bench.calibrate:main", "how many passes may be skipped and layers rounded before pictures change?"),
    "convert": ("dreamx.convert:main", "released networks into our folder, and back"),
    "trajectory": {
        "import": ("dreamx.trajectory:import_trajectory", "a camera path of any dialect into our own file"),
        "export": ("dreamx.trajectory:export", "our own file into any dialect"),
        "preview": ("dreamx.trajectory:preview", "a path from above, from the side, and in words"),
        "check": ("dreamx.trajectory:check", "what is wrong with a path"),
    },
    "conformance": ("dreamx.conformance:main", "do we give the numbers of the official implementation?"),
    "doctor": ("dreamx.doctor:main", "is everything here that dreamx needs?"),
}

_LONGEST = 1000  # letters of a sentence: what is wrong may hold what somebody wrote, of any length


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Bad input is one sentence on standard error and exit code 2; Ctrl-C is exit code 130."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands, path = COMMANDS, ["dreamx"]
    while True:
        if not words or words[0] in ("-h", "--help"):
            print(_help(path, commands))
            raise SystemExit(0 if words else 2)
        if words[0] == "--version" and commands is COMMANDS:
            print(f"dreamx {__version__}")
            return
        if words[0] not in commands:
            _fail(f"{' '.join(path)}: {words[0]!r} is not a command; the commands are {', '.join(commands)}", 2)
        path.append(words.pop(0))
        found = commands[path[-1]]
        if not isinstance(found, Mapping):
            break
        commands = found
    try:
        with ending(" ".join(path), alone=arguments is None):
            _call(found[0], " ".join(path), words)
    except BrokenPipeError:  # `dreamx ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as e:
        said = f"{e.filename}: {e.strerror}" if e.filename is not None and e.strerror else str(e)
        _fail(f"{' '.join(path)}: {said}", 2)
    except ValueError as e:
        _fail(f"{' '.join(path)}: {e}", 2)
    except (MemoryError, RuntimeError) as e:  # torch's own is a RuntimeError
        if isinstance(e, RuntimeError) and "allocate memory" not in str(e):
            raise
        _fail(f"{' '.join(path)}: this needs more memory than the machine has; ask for less (smaller or fewer)", 2)


def _call(target: str, name: str, words: Sequence[str]) -> None:
    from dreamx.bounds import new_folders, remove_empty
    from dreamx.flags import parse

    module, function = target.split(":")
    run: Callable[[Any], object] = getattr(import_module(module), function)
    config = get_type_hints(run)["cfg"]
    cfg = parse(config, words, name, *(run.__defaults__ or ()))
    new = new_folders(cfg)
    try:
        with manifest.until_the_end():
            run(cfg)
    except Exception:  # Ctrl-C does the same
        manifest.undo()
        remove_empty(new)
        raise


def _help(path: Sequence[str], commands: Mapping[str, Any]) -> str:
    width = max(map(len, commands))
    lines = [f"usage: {' '.join(path)} COMMAND [--help] [flags]", ""]
    for name, found in commands.items():
        words = ", ".join(found) if isinstance(found, Mapping) else found[1]
        lines.append(f"  {name:{width}}  {words}")
    return "\n".join(lines)


def _fail(words: str, code: int) -> None:
    print(sentence(words, _LONGEST), file=sys.stderr)
    raise SystemExit(code)
