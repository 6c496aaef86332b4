"""The house stands: imports go strictly down the floors, siblings without circles, and the rooms are kept tidy.

The floors are the table in CONTRIBUTING.md. A name on a floor is a module or a whole package of ``dreamx``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from repo import ROOT

FLOORS = (
    ("geometry", "config", "bounds", "plaintext", "version", "openmp", "source_hash", "hardware", "devices"),
    (
        *("clip", "events", "frames", "flow", "picture", "picture_kinds", "video_reader", "video_display"),
        *("atomic", "tensor_file", "locks", "manifest", "interrupt", "web"),
    ),
    ("model",),
    ("checkpoints", "fast"),
    (
        *("memory", "rollout", "lookahead", "text_to_image", "session", "standpoint", "networks", "decoding", "released"),
        *("session_state", "session_shapes", "packed_memory", "event_phases", "event_timeline"),
        *("unwritten", "detail", "chunk_request", "chunk_plan", "world", "world_batch", "replay"),
    ),
    ("data",),
    ("eval",),
    ("train", "budget"),
    ("play", "serve", "env", "vector_env"),
    ("recipes",),
    ("cli", "flags", "__main__", "doctor", "bench", "generate", "trajectory", "conformance", "convert"),
)
STRANGERS = {frozenset(("train", "fast"))}
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def modules(package: Path) -> dict[str, Path]:
    """Dotted names below the package (``geometry.camera``) and their files; the package's own ``__init__`` is the empty name."""
    found: dict[str, Path] = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path) -> list[str]:
    """Every absolute name that a file imports, at its top or inside a function; relative imports show as ``.``."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += ["."] if node.level else [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def edges(package: Path) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports."""
    known = modules(package)
    graph: dict[str, set[str]] = {name: set() for name in known}
    for name, file in known.items():
        for target in imported(file):
            if target.split(".")[0] == package.name:
                inside = target.removeprefix(package.name).removeprefix(".")
                while inside not in known:
                    inside = inside.rpartition(".")[0]
                graph[name].add(inside)
    return graph


def violations(package: Path) -> list[str]:
    """One sentence for each import that does not go down."""
    found: list[str] = []
    graph = edges(package)
    for name, targets in graph.items():
        room = name.split(".")[0]
        if not room:
            continue  # the package's __init__ is the front door: it may show what is on any floor
        if room not in FLOOR:
            found.append(f"{name} is on no floor; add it to FLOORS and to CONTRIBUTING.md")
            continue
        for target in targets:
            other = target.split(".")[0]
            if not other:
                found.append(f"{name} imports the front door; import the module itself")
            elif other != room and (FLOOR.get(other, 99) > FLOOR[room] or frozenset((room, other)) in STRANGERS):
                found.append(f"{name} (floor {FLOOR[room]}) imports {target} (floor {FLOOR.get(other)})")
    for name, file in modules(package).items():
        if "." in imported(file):
            found.append(f"{name} imports relatively; write the whole name")
        if name.split(".")[0] == "geometry":
            outside = {n.split(".")[0] for n in imported(file)} - set(sys.stdlib_module_names) - {package.name, "torch"}
            found += [f"{name} imports {n}; geometry knows torch and nothing else" for n in sorted(outside)]
    inside: dict[str, set[str]] = {}  # the rooms of data, as wholes: none imports one that imports it
    for name, targets in graph.items():
        if name.startswith("data."):
            inside.setdefault(".".join(name.split(".")[:2]), set()).update(
                ".".join(t.split(".")[:2]) for t in targets if t.startswith("data.")
            )
    for edges_of in (graph, {room: targets - {room} for room, targets in inside.items()}):
        try:
            TopologicalSorter(edges_of).prepare()
        except CycleError as e:
            found.append(f"imports go in a circle: {' -> '.join(e.args[1])}")
    return found


def test_imports_go_down() -> None:
    assert violations(ROOT / "src/dreamx") == []


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("geometry/camera.py", "from dreamx.world import World", "geometry.camera (floor 0) imports world (floor 4)"),
        ("geometry/camera.py", "import numpy as np", "geometry.camera imports numpy"),
        ("train/run.py", "def f():\n    from dreamx.fast import quantise", "train.run (floor 7) imports fast.quantise"),
        ("fast/quantise.py", "import dreamx.train.run", "fast.quantise (floor 3) imports train.run"),
        ("world.py", "from dreamx import cli", "world (floor 4) imports cli (floor 10)"),
        ("world.py", "from dreamx import World", "world imports the front door"),
        ("world.py", "from .clip import Clip", "world imports relatively"),
        ("clip.py", "from dreamx import frames\n", "imports go in a circle"),
        ("data/engine/pool.py", "from dreamx.data.sim.take import Take", "circle: data.engine -> data.sim -> data.engine"),
        ("cellar.py", "import torch", "cellar is on no floor"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, file: str, line: str, said: str) -> None:
    package = tmp_path / "dreamx"
    good = {
        "__init__.py": "from dreamx.world import World",
        "geometry/__init__.py": "from dreamx.geometry.camera import Camera",
        "geometry/camera.py": "import math, torch",
        "clip.py": "from dreamx.geometry.camera import Camera",
        "frames.py": "import dreamx.clip",
        "world.py": "from dreamx import frames",
        "data/engine/stage.py": "import torch",
        "data/engine/pool.py": "from dreamx.data.engine.stage import Stage",
        "data/sim/take.py": "import torch",
        "data/sim/simulate.py": "from dreamx.data.engine.stage import Stage\nfrom dreamx.data.sim.take import Take",
        "train/run.py": "from dreamx.world import World",
        "fast/quantise.py": "import torch",
        "cli.py": "from dreamx.train.run import Run",
    }
    for name, text in good.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    assert violations(package) == []
    (package / file).write_text(line)
    assert any(said in v for v in violations(package)), violations(package)


# Split, so that this file does not hold them.
PLACES = ("/wo" + "rk/", "/ro" + "ot/", "/home" + "/[a-z]", "py" + r"pi\.org", "python" + "hosted", "/opt/" + "wheels")
FORBIDDEN = re.compile("|".join(PLACES))
TEXT = {".py", ".md", ".toml", ".txt", ".js", ".css", ".html", ".svg", ".json", ".yml", ""}


def texts() -> list[Path]:
    tops = [p for p in ROOT.iterdir() if p.is_file() and p.name != ".git"]  # a file in a worktree
    below = [p for d in ("src", "tests", "tools", "docs", ".ci") for p in (ROOT / d).rglob("*") if p.is_file()]
    hidden = {"__pycache__", "dreamx.egg-info"}
    return [p for p in tops + below if p.suffix in TEXT and not hidden & set(p.parts)]


def test_texts_name_no_machine_and_no_registry() -> None:
    found = [f"{p.relative_to(ROOT)}: {m.group()}" for p in texts() if (m := FORBIDDEN.search(p.read_text(errors="ignore")))]
    assert found == []


def test_files_are_short_and_there_is_no_drawer_for_odds_and_ends() -> None:
    sources = list(modules(ROOT / "src/dreamx").values())
    assert len(sources) > 20
    assert [p.name for p in sources if len(p.read_text().splitlines()) > 300] == []
    assert [str(p) for p in sources if p.stem in {"utils", "util", "helpers", "common", "misc"}] == []


def catch_alls(text: str) -> list[str]:
    """Functions with ``**``, but for methods that hand it on to the method of another's class that they replace."""
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [f.name for f in functions if f.args.kwarg is not None and f"super().{f.name}(" not in ast.unparse(f)]


def test_signatures_say_what_they_take() -> None:
    assert catch_alls("def f(a, **kwargs): ...") == ["f"]
    assert catch_alls("class A(B):\n    def f(self, **kwargs): super().f(**kwargs)") == []
    found = {str(p): names for p in modules(ROOT / "src/dreamx").values() if (names := catch_alls(p.read_text()))}
    assert found == {}


RELATIVE = re.compile(r"\s*(What|Where|Who|When|How|Whoever|Whatever|Which|Of|So|By|With|For|To|In|On)\b")


def unclear(package: Path) -> list[str]:
    """Docstrings that begin with a relative clause, fields of configs without one, module stems and class names used twice."""
    found: list[str] = []
    stems: dict[str, list[str]] = {}
    classes: dict[str, list[str]] = {}
    for name, file in modules(package).items():
        tree = ast.parse(file.read_text())
        if file.stem not in {"__init__", "commands", "names", "page"}:
            stems.setdefault(file.stem, []).append(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                said = ast.get_docstring(node) or ""
                found += [f"{name}: begin with a verb or with what comes back: {said[:40]}"] if RELATIVE.match(said) else []
            if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "Stage")) and node.decorator_list:
                for field, below in zip(node.body, [*node.body[1:], None], strict=True):
                    documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                    if isinstance(field, ast.AnnAssign) and not documented:
                        found.append(f"{name}: {node.name}.{ast.unparse(field.target)} has no docstring below it")
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes.setdefault(node.name, []).append(name)
    return found + [f"{key} is in {', '.join(where)}" for key, where in (stems | classes).items() if len(where) > 1]


def test_names_and_docstrings_are_clear(tmp_path: Path) -> None:
    assert unclear(ROOT / "src/dreamx") == []
    planted = {
        "a/walk.py": '"""What walks."""\nclass Walk: ...',
        "b/walk.py": "@dataclass\nclass WalkConfig:\n    speed: float",
        "c.py": '"""Of uint8."""\nclass Walk: ...',
    }
    for name, text in planted.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    said = " ".join(unclear(tmp_path))
    assert all(
        s in said
        for s in ("What walks", "Of uint8", "WalkConfig.speed has no", "walk is in a.walk, b.walk", "Walk is in a.walk, c")
    )


def homeless(tests: Path, package: Path) -> list[str]:
    """Test files in folders of ``tests`` that are no room of the package, and names that two of them have."""
    files = sorted(tests.rglob("test_*.py"))
    rooms = {Path("."), Path("attack"), *(p.parent.relative_to(package) for p in package.rglob("__init__.py"))}
    found = [str(p.relative_to(tests)) for p in files if p.parent.relative_to(tests) not in rooms]
    return found + [name for name, times in Counter(p.name for p in files).items() if times > 1]


def test_tests_lie_as_the_code_does(tmp_path: Path) -> None:
    assert homeless(ROOT / "tests", ROOT / "src/dreamx") == []
    for name in ("support/test_a.py", "model/test_b.py", "test_b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert homeless(tmp_path, ROOT / "src/dreamx") == ["support/test_a.py", "test_b.py"]
