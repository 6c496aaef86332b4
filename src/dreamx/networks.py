"""The networks of a world on disk: read from the folders of trained ones, written to the one folder of a world."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

from torch import Tensor, nn

from dreamx.checkpoints import native
from dreamx.checkpoints.lent_text import LentText
from dreamx.config import from_json
from dreamx.model.depth_net import Depth, DepthConfig
from dreamx.model.dit import DiT, DiTConfig
from dreamx.model.place_field import PlaceField, PlaceFieldConfig
from dreamx.model.prompt import Taught, read_prompt, shorten
from dreamx.model.taught_event import TaughtEvent
from dreamx.model.vae import VAE, VAEConfig
from dreamx.model.word_encoder import WordConfig, WordEncoder
from dreamx.plaintext import named, read_json
from dreamx.session import WorldConfig

#: What draws a picture from words: a transformer of single frames, and its text encoder.
TextToImage = tuple[DiT, WordEncoder]

#: The optional networks of a world: for the depth of opening pictures, the painter, and the fields of places known by heart.
Extras = tuple[Depth | None, TextToImage | None, PlaceField | None]


#: Bits of what a small world is written in (``few_bits``), by what they did to the shipped one (``docs/LOG.md``). The densities
#: of a field say where its surfaces are: in 6 bits they cost most.
SMALL = {"vae": 6, "depth": 6, "dit": 8, "text": 8, "places": 6, "places.density": 8}
SMALL_PAINTER = {"dit": 6, "text": 6}


def load_dit_and_text(folder: Path) -> tuple[DiT, WordEncoder]:
    """A transformer and its text encoder, from the folder of trained ones."""
    return native.load(folder, "dit", DiT, DiTConfig), native.load(folder, "text", WordEncoder, WordConfig)


def load_autoencoder(folder: Path) -> VAE:
    """An autoencoder from its folder."""
    return native.load(folder, "vae", VAE, VAEConfig)


def load_extras(
    deep: Path | None = None, painter: Path | None = None, places: Path | None = None, config: WorldConfig | None = None
) -> Extras:
    """The optional networks of a world, each from its folder. ValueError where ``config`` would not show its places."""
    if config is not None and places is not None:
        refuse_unseen_places(config, places)
    return (
        None if deep is None else native.load(deep, "depth", Depth, DepthConfig),
        None if painter is None else load_dit_and_text(painter),
        None if places is None else native.load(places, "places", PlaceField, PlaceFieldConfig),
    )


def refuse_unseen_places(config: WorldConfig, places: Path) -> None:
    """ValueError, one sentence, where a world without memory has places known by heart: they are shown as memory is, or never."""
    if config.memory is None:
        raise ValueError(
            f"places: {places} holds places known by heart, which are shown by way of memory, and this world has none "
            "(world.memory); give it memory, or leave the places out"
        )


def find_extras(folder: Path) -> tuple[Path | None, Path | None, Path | None]:
    """Find the folders of these in a world's own."""
    deep, places = (folder if (folder / f"{name}.safetensors").is_file() else None for name in ("depth", "places"))
    painter = folder / "painter"
    return deep, painter if painter.is_dir() else None, places


def load_vocabulary(folder: Path) -> Taught | None:
    """Read the vocabulary that a world was taught; None where its folder does not say."""
    return native.read_config(folder, "taught", Taught) if native.holds(folder, "taught") else None


def read_happenings(file: Path) -> tuple[TaughtEvent, ...]:
    """Read a JSON list of events that a world was taught by name. ValueError names the file, the record and the field."""
    listed = read_json(file)
    if not isinstance(listed, list):
        raise ValueError(f"{file}: must be a list of happenings, each with a name and the words with which it begins")
    taught = {"words": [], "drawn": [], "events": True, "happenings": [_with_defaults(x) for x in listed]}
    with named(file):
        return from_json(Taught, taught).happenings


def _with_defaults(record: object) -> object:
    """A record written by hand, of which all but name and begins may be left out."""
    blank = {f.name: f.default for f in fields(TaughtEvent) if f.default is not MISSING}
    return {**blank, **record} if isinstance(record, dict) else record


def read_words(
    text: WordEncoder | LentText, known: Taught | None, prompt: str, event: str, painter: TextToImage | None = None
) -> tuple[Tensor, str]:
    """Encode a prompt and an event ``[1, words, width]``, with a note on what is not read, or not known.

    painter: what draws the opening picture from the prompt; then the note is about what that reads. None: nothing is drawn.
    """
    if isinstance(text, LentText):
        return text.read([f"{prompt} {event}".strip()])[0]
    every = () if known is None else known.words if painter is None else known.drawn
    words = frozenset(every) if every else None
    first = read_prompt(prompt, event, (text if painter is None else painter[1]).config.words, words)
    return text([shorten(first.text, text.config.words)]), first.note


def export_networks(
    folder: Path,
    config: WorldConfig,
    nets: tuple[DiT, VAE, WordEncoder],
    extras: Extras,
    known: Taught | None,
    half: bool = False,
    small: bool = False,
) -> None:
    """Write a world to a folder, the painter to one within it; ``half``: as float16, the fields in 8 bits; ``small``: in as many
    bits as ``SMALL`` says."""
    few = SMALL if small else {"places": 8} if half else {}
    (dit, vae, text), (depth, painter, places) = nets, extras
    parts = {"dit": (dit, dit.config), "vae": (vae, vae.config), "text": (text, text.config)}
    deep = {} if depth is None else {"depth": (depth, depth.config)}
    heart = {} if places is None else {"places": (places, places.config)}
    knows = {} if known is None else {"taught": (nn.Module(), known)}
    native.save(folder, {**parts, **deep, **heart, "world": (nn.Module(), config), **knows}, half, few)
    if painter is not None:
        drawing = {"dit": (painter[0], painter[0].config), "text": (painter[1], painter[1].config)}
        native.save(folder / "painter", drawing, half, SMALL_PAINTER if small else few)
