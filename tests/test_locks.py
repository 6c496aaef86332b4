"""Two processes never write into one folder: the second is refused in one sentence, and a lock dies with its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import micro
from dreamx import locks, manifest
from dreamx.checkpoints import native, transformer
from dreamx.cli import main
from dreamx.data import dataset
from dreamx.model.vae import VAE
from kill_cases import equal, walks
from moving_clips import MICRO
from official_small import found
from play_house import png
from repo import TESTS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
#: Take something, say so, and keep it until standard input ends.
HOLD = """
import sys
from pathlib import Path
from dreamx import locks, manifest
held = []
try:
    {take}
except ValueError as e:
    print(e)
    sys.exit(2)
print("held", flush=True)
sys.stdin.read()
"""


def child(take: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD.format(take=take)]
    return subprocess.Popen(words, env=ENV, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextmanager
def holding(take: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds something."""
    with child(take) as it:
        try:
            assert it.stdout is not None
            assert it.stdout.readline() == "held\n"
            yield it
        finally:
            it.kill()


def file(path: Path) -> str:
    return f"held.append(locks.take(Path({str(path)!r}), 'it is taken'))"


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    with holding(file(tmp_path / "lock")) as other:
        with pytest.raises(ValueError, match="it is taken"):
            locks.take(tmp_path / "lock", "it is taken")
        other.send_signal(signal.SIGKILL)
        other.wait(30)
        lock = locks.take(tmp_path / "lock", "it is taken")
    second = child(file(tmp_path / "lock"))
    assert second.communicate(timeout=30)[0] == "it is taken\n"
    lock.release()
    with holding(file(tmp_path / "lock")):
        pass


def test_within_a_process_a_lock_is_given_back_as_often_as_it_was_taken(tmp_path: Path) -> None:
    first = locks.take(tmp_path / "lock", "")
    assert locks.take(tmp_path / "lock", "") is first
    first.release()
    assert child(file(tmp_path / "lock")).communicate(timeout=30)[0] == "it is taken\n"
    first.release(remove=True)
    assert not (tmp_path / "lock").exists()


def test_a_lock_whose_file_was_removed_holds_no_more(tmp_path: Path) -> None:
    lock = locks.take(tmp_path / "lock", "")
    (tmp_path / "lock").unlink()
    assert not lock.holds()
    with holding(file(tmp_path / "lock")), pytest.raises(ValueError, match="it is taken"):
        locks.take(tmp_path / "lock", "it is taken")
    lock.release(remove=True)
    assert (tmp_path / "lock").exists(), "it was another's"


def test_where_the_file_system_knows_no_locks_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    locks.take(tmp_path / "lock", "it is taken").release()


def test_a_folder_is_its_commands_alone_until_that_ends(tmp_path: Path) -> None:
    claim = f"manifest.claim(Path({str(tmp_path / 'c')!r}), 'clips', ('x',))"
    with manifest.until_the_end():
        manifest.claim(tmp_path / "c", "clips", ("x",))
        manifest.claim(tmp_path / "c", "clips", ("x",))
        said = child(claim).communicate(timeout=30)[0]
        assert said == f"out: {tmp_path / 'c'}: another run writes here; wait for it, or give another name\n"
    inside = f"held.append(manifest.until_the_end()); held[0].__enter__(); {claim}"
    with holding(inside), pytest.raises(ValueError, match="another run writes here"):
        manifest.claim(tmp_path / "c", "clips", ("x",))
    manifest.claim(tmp_path / "c", "clips", ("x",))
    manifest.claim(tmp_path / "c", "clips", ("x",), write=False)


def test_who_only_looks_takes_no_lock(tmp_path: Path) -> None:
    """As all processes of a torchrun but the first."""
    manifest.claim(tmp_path / "c", "clips", ("x",))
    with holding(file(tmp_path / "c" / manifest.NAME)):
        manifest.claim(tmp_path / "c", "clips", ("x",), write=False)


def test_a_manifest_that_was_not_written_any_more_is_none(tmp_path: Path) -> None:
    (tmp_path / manifest.NAME).touch()  # killed between the lock and the words
    manifest.claim(tmp_path, "clips", ("x",))
    assert manifest.read(tmp_path) == {"kind": "clips", "files": ["x"], "settings": {}}


DATA = TESTS / "files/micro"
TRAIN = "--run.steps 1 --batch 1 --vae.latent 4 --vae.encoder 8 12 16 --vae.decoder 8 12 16 --vae.blocks 1 1 1"
#: A command, and the file that whoever is at work there has locked.
SECOND = {
    "render": ("data render --out OUT --scenes 1 --frames 9 --width 16 --height 16 --processes 1", manifest.NAME),
    "simulate": ("data simulate --out OUT --scenes 1 --frames 9 --width 16 --height 16 --processes 1", manifest.NAME),
    "unpack": ("data unpack IN/set --out OUT", manifest.NAME),
    "pack": ("data pack IN/clips --out OUT --processes 1", "../.out.lock"),
    "encode": ("data encode --clips IN/clips --vae IN/vae --out OUT/z.safetensors --processes 1", ".z.safetensors.lock"),
    "train": (f"train autoencoder --data DATA --out OUT/m --run.folder OUT {TRAIN}", manifest.NAME),
    "train-out": (f"train autoencoder --data DATA --out OUT --run.folder OUT/../r {TRAIN}", manifest.NAME),
    "curriculum": ("train curriculum --out OUT --scale micro", manifest.NAME),
    "convert": ("convert IN/cam --out OUT/c", ".c.lock"),
    "eval": ("eval quick --out OUT --truth OUT/t", manifest.NAME),
    "play": ("play --state OUT --port 0", manifest.NAME),
    "generate": ("generate --world IN/world --actions w*4 --out OUT/walk.mp4", ".walk.mp4.lock"),
    "generate-list": ("generate IN/eval.json --world IN/world --out OUT --resume --frames 5", ".a.mp4.lock"),
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("given")
    equal(root)
    dataset.write(str(root / "set"), walks()[:2])
    native.save(root / "vae", {"vae": (VAE(MICRO), MICRO)})
    micro.world(chunk=1).export(root / "world")
    transformer.write(root / "cam", found("cam"), "")
    (root / "a.png").write_bytes(png())
    entry = {"image_path": "a.png", "caption": "a room", "action_seq": ["w"], "action_speed_list": [4], "task_id": "a"}
    (root / "eval.json").write_text(json.dumps([entry]))
    return root


@pytest.fixture
def threads() -> Iterator[None]:
    """A command may change how many torch uses."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", SECOND)
def test_the_second_command_is_refused(name: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, lock = SECOND[name]
    out = tmp_path / "out"
    if name != "pack":
        out.mkdir()
    with holding(file(Path(os.path.normpath(out / lock)))):
        before = everything(tmp_path)
        with pytest.raises(SystemExit) as e:
            main(words.replace("OUT", str(out)).replace("IN", str(given)).replace("DATA", str(DATA)).split())
        said = capsys.readouterr().err.splitlines()
        assert (e.value.code, "another" in said[-1], "--state" in said[-1]) == (2, True, name == "play"), said
        assert not any("Traceback" in line for line in said)
        assert everything(tmp_path) == before


def test_after_a_kill_the_next_run_begins_at_once(tmp_path: Path) -> None:
    """A training that is killed while it trains: the folder is free, and nothing of the lock is left."""
    words = f"train autoencoder --data {DATA} --out {tmp_path}/m --run.folder {tmp_path}/r {TRAIN}".split()
    stop = "import os, signal, dreamx.train.autoencoder as a; a.Run.steps = lambda *_: os.kill(os.getpid(), signal.SIGSTOP); "
    code = stop + "from dreamx.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *words], env=ENV | {"OMP_NUM_THREADS": "1"}) as first:
        try:
            os.waitid(os.P_PID, first.pid, os.WSTOPPED)
            with pytest.raises(SystemExit) as e:
                main(words)
            assert e.value.code == 2
        finally:
            first.kill()
    main(words)
    assert (tmp_path / "m/vae.safetensors").is_file()
