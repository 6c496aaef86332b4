"""The attacker of files: spoils good files at random and opens them, each in a process whose time and memory are bounded.

    python tests/attack/files_fuzz.py --count 20000
    python tests/attack/files_fuzz.py --count 500 --only replay --seed 3

What is counted: tracebacks (anything but a sentence: ``ValueError`` or ``OSError``), hangs (more than 10 s of processor time),
more than 1 GB of memory beyond what was there before, and files, processes or connections outside of the folder of the input. An
input is of its entry, the seed and its number alone. What fell is kept in ``--keep`` as ENTRY--FILE--NUMBER, for ``corpus``.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from av.error import FFmpegError

import files_mutate

CORPUS = Path(__file__).parent / "corpus"
CPU = 10  # seconds
MEMORY = 2**30  # bytes
BATCH = 25  # inputs that one process opens
_WALL = 120  # seconds that one input may sleep, and make no use of a processor


@dataclass(frozen=True)
class Input:
    """A spoilt file: of which entry, the name of the file in its folder, its bytes, and its number."""

    entry: Any
    file: str
    data: bytes
    number: int


@dataclass(frozen=True)
class Fate:
    """What became of it: good, sentence, traceback, hang, memory, outside, died; and what was said."""

    what: str
    said: str
    input: Input


GOOD = ("good", "sentence")


def inputs(entries: Iterable[Any], count: int, seed: int) -> Iterator[Input]:
    """So many of each entry, in turn."""
    every = list(entries)
    for number in range(count):
        entry = every[number % len(every)]
        rng = random.Random(f"{entry.name} {seed} {number}")
        files = sorted({p for pattern in entry.files for p in entry.folder.glob(pattern) if p.is_file()})
        file = rng.choice(files)
        kind: str = {".json": "json", ".jsonl": "lines", ".txt": "text"}.get(file.suffix) or entry.kind
        data = files_mutate.spoil(rng, kind, file.read_bytes())
        yield Input(entry, file.relative_to(entry.folder).as_posix(), data, number)


def corpus(entries: Iterable[Any]) -> Iterator[Input]:
    """What fell once."""
    known = {e.name: e for e in entries}
    for number, file in enumerate(sorted(CORPUS.glob("*--*"))):
        name, place, *_ = file.name.split("--")
        yield Input(known[name.replace("_", " ")], place.replace("+", "/"), file.read_bytes(), number)


def attack(every: Iterable[Input], scratch: Path, batch: int = BATCH, cpu: int = CPU, memory: int = MEMORY) -> Iterator[Fate]:
    """Open all of them. One process opens ``batch``; where it dies or hangs, the next goes on with the one after."""
    gc.collect()
    gc.freeze()
    group: list[Input] = []
    for one in every:
        group.append(one)
        if len(group) == batch:
            yield from _group(group, scratch, cpu, memory)
            group = []
    yield from _group(group, scratch, cpu, memory)


def _group(group: list[Input], scratch: Path, cpu: int, memory: int) -> Iterator[Fate]:
    while group:
        fates = list(_forked(group, scratch, cpu, memory))
        yield from fates
        group = group[len(fates) :]


def _forked(group: list[Input], scratch: Path, cpu: int, memory: int) -> Iterator[Fate]:
    hear, tell = os.pipe()
    if not (pid := os.fork()):
        os.close(hear)
        try:
            _open_all(group, scratch, cpu, memory, tell)
        finally:
            os._exit(0)
    os.close(tell)
    done, rest, late, used = 0, b"", False, -1.0
    while True:
        if not select.select([hear], [], [], _WALL)[0]:
            before, used = used, _used(pid)
            if used > before:  # it works, as far as a busy machine lets it; the kernel ends it after its 10 s
                continue
            os.kill(pid, signal.SIGKILL)
            late = True
            break
        block = os.read(hear, 2**16)
        if not block:
            break
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            what, said = json.loads(line)
            yield Fate(what, said, group[done])
            done += 1
    os.close(hear)
    _, status = os.waitpid(pid, 0)
    if done < len(group):
        code = os.waitstatus_to_exitcode(status)
        hang = late or code in (-signal.SIGXCPU, -signal.SIGKILL)
        yield Fate("hang" if hang else "died", f"ended with {code}", group[done])


def _used(pid: int) -> float:
    """Processor time of a process so far, in ticks."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def _open_all(group: list[Input], scratch: Path, cpu: int, memory: int, tell: int) -> None:
    """In the process of its own."""
    warnings.simplefilter("ignore")
    faulthandler.disable()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + 4 * memory
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    escapes = _watch(scratch)
    for one in group:
        place = scratch / str(one.number)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(one.entry.folder, place / "in")
        target = place / "in" / one.file
        target.chmod(0o644)
        target.write_bytes(one.data)
        os.chdir(place)
        tempfile.tempdir = str(place)
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + cpu + 1, resource.RLIM_INFINITY))
        before = _most(reset=True)
        escapes.clear()
        what, said = _fate(one.entry.call, place / "in")
        if escapes:
            what, said = "outside", escapes[0]
        elif _most() - before > memory:
            what, said = "memory", f"{(_most() - before) / 2**20:.0f} MB: {said}"
        os.chdir(scratch)
        shutil.rmtree(place, ignore_errors=True)
        os.write(tell, json.dumps([what, said]).encode() + b"\n")


def _fate(call: Callable[[Path], object], folder: Path) -> tuple[str, str]:
    try:
        call(folder)
    except (ValueError, OSError) as e:
        chain: list[BaseException] = [e]
        while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and len(chain) < 20:
            chain.append(inner)
        words = str(e)
        chain = [x for x in chain if not isinstance(x, FFmpegError)]  # it refuses 2 GB by itself: what it takes is measured
        if any(isinstance(x, MemoryError) or "allocate memory" in str(x) for x in chain):
            return "memory", f"asked for more than there is: {words[:300]}"
        if isinstance(e, UnicodeError | json.JSONDecodeError) or not words or len(words) > 2000:
            return "traceback", f"{type(e).__name__} of {len(words)} letters: {words[:200]}\n{_last(e)}"
        return "sentence", words[:200]
    except SystemExit as e:
        return ("good" if e.code in (None, 0, 2) else "traceback"), f"exit {e.code}"
    except MemoryError as e:
        return "memory", _last(e)
    except BaseException as e:
        return "traceback", f"{type(e).__name__}: {str(e)[:200]}\n{_last(e)}"
    return "good", ""


def _last(e: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(e.__traceback__) if "dreamx" in f.filename]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-5:]))


def _most(reset: bool = False) -> int:
    """The most resident memory of this process since it was last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _watch(inside: Path) -> list[str]:
    """What this process does outside of a folder, from now on."""
    found: list[str] = []
    root = str(inside.resolve())
    fine = ("/proc/self/", "/dev/null", "/dev/shm/", "/dev/urandom")

    def is_out(place: object) -> bool:
        if isinstance(place, bytes):
            place = os.fsdecode(place)
        if not isinstance(place, str):
            return False
        whole = os.path.abspath(place)
        return not whole.startswith((root, *fine)) and "__pycache__" not in whole

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and is_out(args[0]):
                found.append(f"open {args[0]!r:.200}")
        elif event in ("os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.chmod"):
            if args[-1] in (-1, None) or not isinstance(args[-1], int) or event == "os.chmod":
                found.extend(f"{event} {x!r:.200}" for x in args[:2] if isinstance(x, str | bytes) and is_out(x))
        elif event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect"):
            found.append(f"{event} {args!r:.200}")

    sys.addaudithook(hook)
    return found


def main(words: list[str] | None = None) -> int:
    """Attack and say what came of it; 1 where anything fell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=20_000, help="inputs in all")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="*", default=[], help="names of entries, or beginnings of names")
    options.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options.add_argument("--keep", type=Path, help="a folder for what fell")
    options.add_argument("--corpus", action="store_true", help="the corpus instead")
    asked = options.parse_args(words)
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # what all tests share
    from files_entries import entries

    with tempfile.TemporaryDirectory() as folder:
        yard, scratch = Path(folder) / "yard", Path(folder) / "scratch"
        scratch.mkdir()
        every = [e for e in entries(yard) if not asked.only or e.name.startswith(tuple(asked.only))]
        begin = time.monotonic()
        fates: dict[str, Counter[str]] = {e.name: Counter() for e in every}
        seen: Counter[str] = Counter()
        chosen = corpus(every) if asked.corpus else inputs(every, asked.count, asked.seed)
        for fate in attack(chosen, scratch):
            fates[fate.input.entry.name][fate.what] += 1
            if fate.what not in GOOD:
                cause = f"{fate.input.entry.name}: {fate.what}: {fate.said}"
                seen[cause.splitlines()[-1]] += 1
                if seen[cause.splitlines()[-1]] <= 3:
                    print(f"{fate.input.number} {fate.input.file}: {cause}", flush=True)
                    if asked.keep is not None:
                        asked.keep.mkdir(parents=True, exist_ok=True)
                        name = (
                            f"{fate.input.entry.name.replace(' ', '_')}--{fate.input.file.replace('/', '+')}--{fate.input.number}"
                        )
                        (asked.keep / name).write_bytes(fate.input.data)
            if time.monotonic() - begin > asked.seconds:
                break
        total = sum(fates.values(), Counter())
        for name, of in fates.items():
            print(f"{name:24} {dict(of)}")
        fell = sum(n for what, n in total.items() if what not in GOOD)
        print(f"{total.total()} inputs, {len(every)} entries, {time.monotonic() - begin:.0f} s: {dict(total)}; {fell} fell")
    return 1 if fell else 0


if __name__ == "__main__":
    raise SystemExit(main())
