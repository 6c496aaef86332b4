"""Networks on disk: a folder with one ``<name>.safetensors`` a network and ``config.json`` with the resolved config of each.

``config.json`` is the seal of the folder: it is set aside before and written after the weights, so a folder that has one is
whole, whenever the writer was killed. It also says which files are ours: no other is replaced or removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dreamx import atomic, tensor_file
from dreamx.checkpoints import few_bits, quantised
from dreamx.checkpoints.rename_tensors import more
from dreamx.config import from_json, to_json
from dreamx.plaintext import named, read_json

T = TypeVar("T")
C = TypeVar("C")
M = TypeVar("M", bound=nn.Module)


class NotFinite(ValueError):
    """A tensor to be saved holds NaN or infinity. ``name``: of its network; ``key``: of the tensor in it."""

    def __init__(self, folder: Path, name: str, key: str) -> None:
        super().__init__(f"{folder}: {name}.{key} holds NaN or infinity, so nothing was saved")
        self.name, self.key = name, key


def save(
    folder: Path, parts: Mapping[str, tuple[nn.Module, object]], half: bool = False, few: Mapping[str, int] | None = None
) -> None:
    """Write ``{name: (module, its config dataclass)}`` to ``folder``; the networks it held before under other names go.

    ValueError when a module holds NaN or infinity: such weights never replace good ones; and when the folder holds a
    ``.safetensors`` file that is none of these networks. half: as float16, half the bytes; few: bits, 8 or 6, of networks
    (``vae``) and of what begins so in them (``places.density``), the rest of these is float16 (``few_bits``). ``load`` makes
    float32 of all.
    """
    write(folder, {name: (module.state_dict(), config) for name, (module, config) in parts.items()}, half, few)


def write(
    folder: Path,
    parts: Mapping[str, tuple[Mapping[str, Tensor], object]],
    half: bool = False,
    few: Mapping[str, int] | None = None,
) -> None:
    """``save`` for tensors that are already gathered: ``{name: (tensors, config)}``. What has no tensors gets no file."""
    notes: dict[str, dict[str, str]] = {}
    stored = {name: tensors for name, (tensors, _) in parts.items()}
    for name, tensors in stored.items():
        bits = {b.removeprefix(name).removeprefix("."): n for b, n in (few or {}).items() if f"{b}.".startswith(f"{name}.")}
        if half or bits:  # what is too large for float16 becomes infinite, and is refused below
            stored[name], notes[name] = few_bits.stored(tensors, bits)
    parts = {name: (stored[name], config) for name, (_, config) in parts.items()}
    configs = {name: to_json(config) for name, (_, config) in parts.items()}
    before = held(folder)
    # A folder of somebody else is not cleared.
    if strange := sorted(p.name for p in folder.glob("*.safetensors") if p.stem not in before):
        raise ValueError(f"{folder}: holds {strange[0]}, which is no network of its config.json; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as written:
        for name, (tensors, _) in parts.items():
            for key, tensor in tensors.items():
                if not bool(torch.isfinite(tensor).all()):
                    raise NotFinite(folder, name, key)
            if tensors:
                temporary = written.enter_context(_removed(folder / f".{name}.tmp"))  # all are written before any takes its name
                save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, temporary, notes.get(name))
        atomic.write_text(folder / _NEW, json.dumps(configs, indent=2) + "\n")  # as plain files are made: with the user's mode
        mode = (folder / _NEW).stat().st_mode & 0o7777
        if (folder / "config.json").exists():
            os.replace(folder / "config.json", folder / _OLD)  # from here to the last line the folder has no seal
        for old in (folder / f"{name}.safetensors" for name in before):
            if old.stem not in parts or not parts[old.stem][0]:
                old.unlink(missing_ok=True)
        for name in (n for n, (tensors, _) in parts.items() if tensors):
            (folder / f".{name}.tmp").chmod(mode)  # safetensors 0.8 gives 0600
            os.replace(folder / f".{name}.tmp", folder / f"{name}.safetensors")
        os.replace(folder / _NEW, folder / "config.json")
        (folder / _OLD).unlink(missing_ok=True)


def held(folder: Path) -> set[str]:
    """The networks that ``write`` put into a folder, by name, also where it was killed. ValueError: another's config.json."""
    names: set[str] = set()
    for file in (folder / name for name in ("config.json", _NEW, _OLD)):
        if file.is_file():
            try:
                configs = read_json(file)
            except (OSError, ValueError) as e:
                raise ValueError(f"{e}; give another folder") from None
            if not isinstance(configs, dict) or not all(isinstance(c, dict) for c in configs.values()):
                raise ValueError(f"{file}: is not of networks that dreamx wrote; give another folder")
            names.update(configs)  # of all three: a killed writer may have left any of them
    return names


@contextmanager
def _removed(temporary: Path) -> Iterator[Path]:
    """Removed at the end, where it still has this name."""
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


#: The new config.json before the networks have their names, and the old one until they have: what a killed writer leaves.
_NEW, _OLD = ".config.new", ".config.old"


def holds(folder: Path, name: str) -> bool:
    """Does ``config.json`` of the folder have an entry of that name? False where it cannot be read."""
    try:
        configs = read_json(folder / "config.json")
    except (OSError, ValueError):
        return False
    return isinstance(configs, dict) and name in configs


def read_config(folder: Path, name: str, cls: type[T]) -> T:
    """The config that the network ``name`` in ``folder`` was saved with, as an instance of ``cls``."""
    file = folder / "config.json"
    try:
        configs = read_json(file)
    except FileNotFoundError as e:
        raise ValueError(f"{file}: no such file; give the folder that a training stage or `native.save` wrote") from e
    except ValueError as e:
        raise ValueError(f"{e}; save the networks again") from e
    if not isinstance(configs, dict) or name not in configs:
        held = ", ".join(configs) if isinstance(configs, dict) and configs else "nothing"
        raise ValueError(f"{file}: holds no network {name!r} but {held}; give the folder of a stage that trains it")
    with named(file):
        return from_json(cls, configs[name])


def load(folder: Path, name: str, kind: Callable[[C], M], cls: type[C]) -> M:
    """The network ``name`` of a folder, a ``kind`` of its config of class ``cls``, with its weights.

    It is not built before its file is found to have six bits for each of its numbers, at least: a config says any size.
    ValueError, one sentence, as ``read_config`` and ``load_into``.
    """
    config, file = read_config(folder, name, cls), folder / f"{name}.safetensors"
    if not file.is_file():
        raise ValueError(f"{file}: no such file; give the folder that a training stage or `native.save` wrote")
    try:
        with torch.device("meta"), _Unfilled():  # shapes without memory
            numbers = sum(x.numel() for x in kind(config).state_dict().values())
    except (RuntimeError, ArithmeticError, ValueError) as e:
        raise ValueError(f"{folder / 'config.json'}: {name} is no network that can be built ({e})") from e
    if numbers * few_bits.LEAST_BITS > 8 * file.stat().st_size:
        raise ValueError(
            f"{file}: has {file.stat().st_size} bytes, and the {name} of the config.json beside it {numbers} numbers; "
            "the network was built from another config: use the config.json beside the file"
        )
    module = kind(config)
    load_into(module, file)
    return module


class _Unfilled(TorchFunctionMode):
    """Skip ``nn.init.normal_``: on the meta device that imports torch's compiler, one second and 60 MB for what nobody reads."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # Torch calls it by keyword within nn.init.
        return kwargs["tensor"] if func is nn.init.normal_ and not args else func(*args, **kwargs)


def load_into(module: nn.Module, file: Path) -> None:
    """Fill ``module`` from a ``.safetensors`` file; every key must be there, and none more, in the right shape, all numbers.

    ValueError, one sentence with the key, the file and the likely cause; the module is untouched then.
    """
    tensors = read(file)
    want = module.state_dict()
    kind = type(module).__name__
    missing, unknown = [k for k in want if k not in tensors], [k for k in tensors if k not in want]
    if missing:
        raise ValueError(
            f"{file}: has no {missing[0]!r}{more(missing)} that {kind} needs; "
            "it holds another network, or one from before that part was added: train it again or load it with its own config"
        )
    if unknown:
        raise ValueError(
            f"{file}: {unknown[0]!r}{more(unknown)} has no place in {kind}; "
            "it holds another network, or a larger one: build the module from the config.json beside it"
        )
    for key, tensor in want.items():
        if tensors[key].shape != tensor.shape:
            raise ValueError(
                f"{file}: {key!r} is {tuple(tensors[key].shape)} where {kind} wants {tuple(tensor.shape)}; "
                "the network was built from another config: use the config.json beside the file"
            )
        if not bool(torch.isfinite(tensors[key]).all()):
            raise ValueError(f"{file}: {key!r} holds NaN or infinity, so the file is broken; copy or train it again")
    module.load_state_dict(tensors)  # after all checks, so that a bad file leaves the module untouched


def read(file: Path) -> dict[str, Tensor]:
    """All tensors of a ``.safetensors`` file, on the CPU, what has scales as float32; ValueError when it is not whole."""
    if not file.is_file():
        raise ValueError(f"{file}: no such file; give the folder that a training stage or `native.save` wrote")
    try:
        with tensor_file.opened(file) as f:
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (it is no dict)
            notes = f.metadata() or {}
    except Exception as e:
        raise ValueError(f"{file}: not a whole safetensors file ({e}); probably cut short: copy or save it again") from e
    with named(file):
        return quantised.restore(few_bits.restored(tensors, notes), {}, torch.float32)
