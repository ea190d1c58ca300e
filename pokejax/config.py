"""Every setting of a run: frozen dataclasses, checked on construction.

A config file is a Python file that assigns `config = Config(...)`. Those of `configs/`
are included, and go by their names. On the command line any leaf can be changed by its
dotted name, `--train.epochs 300`. Imports nothing of ours.
"""

import argparse
import dataclasses
import difflib
import math
import os
import re
import runpy
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

_NAMES: dict[Any, str] = {int: "whole number", float: "number", str: "string"}
# Beyond these a mistake is likelier than a model, and a stranger's bundle could ask for
# any number of layers.
_MOST_LAYERS = 256
_MOST_STEPS = 1000
_WIDEST = 2**16
_LARGEST_SIDE = 1024  # pixels


def setting(default: Any, help: str) -> Any:
    """A config field with the sentence that `--help` prints for it."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class DataConfig:
    """Which pictures are read, and how a batch is made from them."""

    dir: str = setting(
        "pokemon-cifar-64",
        "dataset directory, or one packed .npz (pokejax data pack)",
    )
    image_size: int = setting(64, "pixels per side; must match the dataset")
    views: tuple[str, ...] = setting(
        (), "keep only pictures of these views, comma-separated; empty keeps all"
    )
    styles: tuple[str, ...] = setting(
        (), "keep only pictures of these styles, comma-separated; empty keeps all"
    )
    resident_mb: int = setting(
        4096, "datasets up to this many MB stay on the device; larger ones are streamed"
    )
    use_preprocessing: bool = setting(
        False, "remove backgrounds and enhance contrast when pictures are loaded"
    )
    flip: bool = setting(True, "mirror half of the training pictures")
    max_shift: float = setting(
        0.0, "shift training pictures by up to this fraction of their width"
    )
    max_scale: float = setting(
        0.0, "enlarge or shrink training pictures by up to this fraction"
    )
    color_jitter: float = setting(
        0.0, "vary saturation and brightness by up to this fraction; hue is a label"
    )

    def __post_init__(self) -> None:
        _check_types("data", self)
        for name in ("max_shift", "max_scale", "color_jitter"):
            _check_fraction(f"data.{name}", getattr(self, name))
        _check_not_negative("data.resident_mb", self.resident_mb)
        _check(
            16 <= self.image_size <= _LARGEST_SIDE and self.image_size % 8 == 0,
            "data.image_size",
            self.image_size,
            f"a multiple of 8 from 16 to {_LARGEST_SIDE}",
        )


@dataclass(frozen=True)
class TextConfig:
    """Which text encoder turns prompts into vectors."""

    encoder: Literal["static", "clip"] = setting(
        "static", "static: offline word vectors; clip: a CLIP text tower"
    )
    weights: str = setting(
        "openai/clip-vit-large-patch14",
        "for clip: hub id, directory or safetensors file",
    )

    def __post_init__(self) -> None:
        _check_types("text", self)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the CVAE. The defaults are the original's."""

    conditional: bool = setting(
        True, "condition on prompts and attributes; off: a plain VAE that ignores both"
    )
    channels: tuple[int, ...] = setting(
        (32, 64, 128),
        "encoder channels, one number per halving (vector: three); the decoder mirrors"
        " them",
    )
    latent: Literal["vector", "spatial", "thumbnail"] = setting(
        "vector",
        "vector: z through linear layers; spatial: z is a small feature map;"
        " thumbnail: z is the picture scaled down, with its alpha",
    )
    blocks: int = setting(2, "spatial, thumbnail: residual blocks at the smallest size")
    hidden_dim: int = setting(512, "vector: width of the fully connected layers")
    latent_dim: int = setting(
        256,
        "length of z; spatial, thumbnail: its channels (thumbnail: 4) times the square"
        " of its side",
    )
    details: int = setting(
        0,
        "thumbnail: numbers at each of its places for what a given picture has beyond"
        " it; a run of its own learns these, and nothing else; 0: none",
    )
    dropout: float = setting(0.2, "dropout rate of the fully connected layers")
    compute_dtype: Literal["float32", "bfloat16"] = setting(
        "float32",
        "precision of the layers in training; weights and losses stay float32",
    )

    def __post_init__(self) -> None:
        _check_types("model", self)
        counts = (3,) if self.latent == "vector" else (2, 3, 4)
        _check(
            len(self.channels) in counts
            and 0 < min(self.channels) <= max(self.channels) <= _WIDEST,
            "model.channels",
            self.channels,
            f"three numbers from 1 to {_WIDEST}"
            + (", or two, or four" if counts[1:] else ""),
        )
        _check_positive("model.hidden_dim", self.hidden_dim, _WIDEST)
        ok = 0 <= self.blocks <= _MOST_LAYERS
        _check(ok, "model.blocks", self.blocks, f"a number from 0 to {_MOST_LAYERS}")
        _check_positive("model.latent_dim", self.latent_dim, _WIDEST)
        _check_not_negative("model.details", self.details)
        _check(
            self.details <= (_WIDEST if self.latent == "thumbnail" else 0),
            "model.details",
            self.details,
            f"0 to {_WIDEST}, and 0 unless model.latent is thumbnail",
        )
        _check_fraction("model.dropout", self.dropout)

    def latent_side(self, image_size: int) -> int:
        """Side of a z with places: the picture's, halved once a channel count."""
        return image_size // 2 ** len(self.channels)


@dataclass(frozen=True)
class PriorConfig:
    """The learned prior over a trained CVAE's latents; see `pokejax.models.prior`."""

    base: str = setting(
        "",
        "bundle over whose latents to train a prior; empty: train a CVAE instead",
    )
    distil: bool = setting(
        False,
        "learn to draw in `prior.steps` steps what the prior in `prior.base` draws in"
        " its own, guidance and all; for requests that leave guidance as it is",
    )
    width: int = setting(256, "width of a token")
    depth: int = setting(6, "transformer blocks")
    heads: int = setting(4, "attention heads")
    patch: int = setting(2, "side of the square of latent that becomes one token")
    condition_drop_prob: float = setting(
        0.1, "chance of hiding prompt and attributes together; guidance needs it"
    )
    attribute_drop_prob: float = setting(
        0.8,
        "each picture hides its attributes at a rate drawn from 0 to this, because"
        " prompts name few",
    )
    relative_prob: float = setting(
        0.0,
        "chance that a picture is drawn beside one of a relative, if the dataset holds"
        " any; 0: the model never learns to look at one",
    )
    steps: int = setting(8, "steps per sample, each of which looks back at the last")
    time_power: float = setting(
        1.0, "of those steps' times, (i / steps) ** this: above 1, more of them early"
    )
    guidance: float = setting(2.0, "default guidance when sampling; 1: none")
    tint: bool = setting(
        False,
        "turn the hues of a drawing whose main color isn't the one asked for; of models"
        " that draw in a palette",
    )
    color_guidance: float = setting(
        0.0, "guidance of the early steps by the primary color alone; adds to the other"
    )

    def __post_init__(self) -> None:
        _check_types("prior", self)
        for name in ("width", "heads", "patch"):
            _check_positive(f"prior.{name}", getattr(self, name), _WIDEST)
        _check_positive("prior.steps", self.steps, _MOST_STEPS)
        _check_positive("prior.depth", self.depth, _MOST_LAYERS)
        _check(
            self.width % self.heads == 0,
            "prior.heads",
            self.heads,
            f"a divisor of prior.width = {self.width}",
        )
        for name in (
            "condition_drop_prob",
            "attribute_drop_prob",
            "relative_prob",
        ):
            _check_fraction(f"prior.{name}", getattr(self, name))
        _check(
            bool(self.base) or not self.distil,
            "prior.distil",
            self.distil,
            "off unless prior.base is set",
        )
        _check(
            not (self.distil and self.relative_prob),
            "prior.relative_prob",
            self.relative_prob,
            "0 with prior.distil",
        )
        _check_not_negative("prior.guidance", self.guidance)
        _check_not_negative("prior.color_guidance", self.color_guidance)
        ok = 0 < self.time_power <= 8
        _check(ok, "prior.time_power", self.time_power, "a number above 0, up to 8")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss: L1 + perceptual_weight LPIPS + beta kl_weight KL."""

    perceptual_weight: float = setting(0.15, "weight of LPIPS; 0 leaves it out")
    adversarial_weight: float = setting(
        0.0,
        "thumbnail: weight, at beta = 1, of a critic that learns to tell rebuilt"
        " pictures from real ones; 0: no critic",
    )
    drawn_by: str = setting(
        "",
        "thumbnail: bundle whose prior draws thumbnails; the critic then judges what"
        " becomes of these, too",
    )
    drawn_weight: float = setting(
        0.06, "with drawn_by: weight of the critic's voice on drawn thumbnails"
    )
    kl_weight: float = setting(8.0, "weight of the KL term at beta = 1")
    kl_per_dimension: bool = setting(
        False,
        "divide the KL by the number of pixel values, as the mean L1 already is",
    )
    annealing: Literal["cyclical", "monotonic", "constant"] = setting(
        "cyclical", "how beta changes over the epochs"
    )
    kl_cycle_epochs: int = setting(
        50, "cyclical: epochs per cycle; beta rises over the first half"
    )
    kl_warmup_epochs: int = setting(20, "monotonic: epochs until beta is 1")

    def __post_init__(self) -> None:
        _check_types("loss", self)
        _check_not_negative("loss.perceptual_weight", self.perceptual_weight)
        _check_not_negative("loss.adversarial_weight", self.adversarial_weight)
        _check_not_negative("loss.drawn_weight", self.drawn_weight)
        _check(
            not self.drawn_by or self.adversarial_weight > 0,
            "loss.adversarial_weight",
            self.adversarial_weight,
            "more than 0 with loss.drawn_by, which needs a critic",
        )
        _check_not_negative("loss.kl_weight", self.kl_weight)
        _check_positive("loss.kl_cycle_epochs", self.kl_cycle_epochs)
        _check_positive("loss.kl_warmup_epochs", self.kl_warmup_epochs)


@dataclass(frozen=True)
class TrainConfig:
    """Length of the run, optimiser, what is hidden at random, what is written when."""

    epochs: int = setting(300, "passes over the training set")
    batch_size: int = setting(128, "pictures per step")
    learning_rate: float = setting(1e-4, "Adam's step size")
    optimizer: Literal["adam", "muon"] = setting(
        "adam",
        "muon: orthogonalised momentum for matrices, at 20 times the step size; a prior"
        " needs fewer steps",
    )
    warmup_steps: int = setting(0, "steps over which the step size rises from 0")
    schedule: Literal["constant", "cosine"] = setting(
        "constant", "step size after warm-up: constant, or falling to 0 at the end"
    )
    accumulate: int = setting(
        1, "split each batch into this many parts to save memory; slow on CPU"
    )
    on_nonfinite: Literal["stop", "skip"] = setting(
        "stop", "on a loss or gradient that isn't finite: stop, or skip the step"
    )
    patience: int = setting(
        0, "stop after this many epochs without a better validation loss; 0: never"
    )
    most_copies: float = setting(
        0.0,
        "stop once a larger share of drawings is nearer to a training picture than 99"
        " in 100 held-out ones, and keep the last model that drew fewer; looked at with"
        " each sample grid; 0: never, and the best validation loss is kept",
    )
    steps_per_call: int = setting(
        0, "steps per compiled call; 0: one on CPU, where loops are slow, otherwise 32"
    )
    grad_clip: float = setting(1.0, "global gradient norm is clipped to this")
    ema_decay: float = setting(
        0.0,
        "decay of the averaged weights, which are evaluated and kept; 0: no average",
    )
    attribute_drop_prob: float = setting(
        0.0, "chance of hiding each attribute, so that prompts may leave it open"
    )
    seed: int = setting(0, "seed of weights, data order, dropout and noise")
    start_from: str = setting(
        "",
        "bundle whose weights a new run starts from, to train a model further or on"
        " other pictures; empty: random weights",
    )
    workdir: str = setting(
        "runs/default", "directory for checkpoints, logs and pictures"
    )
    checkpoint_every: int = setting(5, "epochs between checkpoints")
    keep_every: int = setting(
        0,
        "also keep the checkpoint of every Nth epoch; 0: only the latest three and the"
        " best",
    )
    test_pictures: int = setting(
        256, "test pictures whose loss is logged after each epoch; 0: none"
    )
    sample_every: int = setting(5, "epochs between sample grids")
    tensorboard: bool = setting(
        False, "also log scalars and pictures for TensorBoard; needs tensorboardX"
    )

    def __post_init__(self) -> None:
        _check_types("train", self)
        for name in (
            "epochs",
            "batch_size",
            "accumulate",
            "checkpoint_every",
            "sample_every",
        ):
            _check_positive(f"train.{name}", getattr(self, name))
        for name in ("learning_rate", "grad_clip"):
            value = getattr(self, name)
            ok = 0 < value < math.inf
            _check(ok, f"train.{name}", value, "a finite number above 0")
        _check(bool(self.workdir.strip()), "train.workdir", self.workdir, "a directory")
        for name in ("attribute_drop_prob", "ema_decay", "most_copies"):
            _check_fraction(f"train.{name}", getattr(self, name))
        _check(
            self.batch_size % self.accumulate == 0,
            "train.accumulate",
            self.accumulate,
            f"a divisor of train.batch_size = {self.batch_size}",
        )
        for name in (
            "warmup_steps",
            "patience",
            "steps_per_call",
            "keep_every",
            "test_pictures",
        ):
            _check_not_negative(f"train.{name}", getattr(self, name))
        # JAX's keys take more, but some of them start at seed + 1.
        ok = 0 <= self.seed < 2**31 - 1
        _check(ok, "train.seed", self.seed, f"0 to {2**31 - 2}")


@dataclass(frozen=True)
class MeshConfig:
    """How many devices and processes a run is spread over."""

    devices: int = setting(0, "devices that share each batch; 0: all")
    shard_params: bool = setting(
        False, "also shard weights and optimiser state over the devices"
    )
    fsdp: int = setting(
        0,
        "with shard_params: neighbouring devices that hold one copy of them, a divisor"
        " of all devices; 0: all",
    )
    coordinator: str = setting(
        "", "address:port of process 0; auto: ask the cluster; empty: a single process"
    )
    processes: int = setting(1, "number of processes, with a coordinator")
    process_id: int = setting(0, "index of this process, counted from 0")

    def __post_init__(self) -> None:
        _check_types("mesh", self)
        _check_not_negative("mesh.devices", self.devices)
        _check_not_negative("mesh.fsdp", self.fsdp)
        _check(
            self.shard_params or not self.fsdp,
            "mesh.fsdp",
            self.fsdp,
            "0 without mesh.shard_params",
        )
        _check_positive("mesh.processes", self.processes)
        _check(
            0 <= self.process_id < self.processes,
            "mesh.process_id",
            self.process_id,
            f"0 to {self.processes - 1}",
        )


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)

    def __post_init__(self) -> None:
        _check_types("", self)
        latent = self.model.latent
        _check(
            latent == "thumbnail" or not self.loss.adversarial_weight,
            "loss.adversarial_weight",
            self.loss.adversarial_weight,
            "0 unless model.latent is thumbnail",
        )
        begun = self.train.start_from or self.prior.base
        _check(
            bool(begun) or not self.model.details,
            "model.details",
            self.model.details,
            "0 unless train.start_from is set, since the upsampler isn't trained then",
        )
        if latent == "vector":
            return
        side = self.model.latent_side(self.data.image_size)
        thumbnail = latent == "thumbnail"
        _check(
            self.model.latent_dim == 4 * side**2
            if thumbnail
            else self.model.latent_dim % side**2 == 0,
            "model.latent_dim",
            self.model.latent_dim,
            f"{'4 times' if thumbnail else 'a multiple of'} {side} x {side} for a"
            f" {latent} latent",
        )
        _check(
            all(channels % 8 == 0 for channels in self.model.channels),
            "model.channels",
            self.model.channels,
            f"multiples of 8 for a {latent} latent",
        )
        _check(
            side % self.prior.patch == 0,
            "prior.patch",
            self.prior.patch,
            f"a divisor of the latent's side, {side}",
        )


class ConfigError(ValueError):
    """A setting that can't be used; the message names it and what is accepted."""


def load(path: str | Path) -> Config:
    """The `config` that a config file assigns.

    Args:
      path: of the file; or the bare name of an included one, `"pokemon64"`.

    Raises:
      ConfigError: no such file, it raises, or assigns no `Config` to `config`.
    """
    named = shipped()
    path = named.get(str(path), Path(path))
    if not os.path.isfile(path):  # which says no to any name that can't be one
        near = [str(p) for p in sorted(Path("configs").glob("[a-z]*.py"))]
        close = difflib.get_close_matches(str(path), [*near, *named], 1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"no config file {_shown(str(path))}{hint}")
    try:
        config = runpy.run_path(str(path)).get("config")
    except (Exception, SystemExit) as error:  # whatever the file does
        line = (str(error).splitlines() or [""])[0][:300]
        line = line.partition(". Did you mean")[0]  # as Python 3.13 adds; ours is below
        if unknown := re.search(r"unexpected keyword argument '(\w+)'", line):
            line += _nearest(unknown[1], [leaf.name for _, _, leaf in leaves()])
        raise ConfigError(f"{path}: {type(error).__name__}: {line}") from None
    if not isinstance(config, Config):
        raise ConfigError(f"{path} assigns no pokejax Config to the name 'config'")
    return config


def shipped() -> dict[str, Path]:
    """The included config files, by name."""
    here = Path(__file__).parent
    inside = here / "configs"  # in a wheel; in a checkout it stands beside the package
    folder = inside if inside.is_dir() else here.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("[a-z]*.py"))}


def to_dict(config: Config) -> dict[str, dict[str, Any]]:
    """`config` as plain dicts, ready for JSON (tuples become lists)."""
    return {
        section: {
            key: list(cast(tuple[Any, ...], value))
            if isinstance(value, tuple)
            else value
            for key, value in values.items()
        }
        for section, values in dataclasses.asdict(config).items()
    }


def from_dict(values: Mapping[str, Mapping[str, Any]]) -> Config:
    """The inverse of `to_dict`; settings that are left out keep their defaults.

    Raises:
      ConfigError: an unknown section or key, with the nearest valid one.
    """
    return override(
        Config(),
        {
            f"{section}.{key}": (
                tuple(cast(list[Any], value)) if isinstance(value, list) else value
            )
            for section, section_values in values.items()
            for key, value in section_values.items()
        },
    )


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with the leaves that `changes` names, e.g. `{"train.epochs": 3}`.

    Raises:
      ConfigError: an unknown name, with the nearest valid one, or a bad value.
    """
    sections: dict[str, dict[str, Any]] = {}
    valid = [name for name, _, _ in leaves()]
    for name, value in changes.items():
        if name not in valid:
            hint = _nearest(name, valid)
            raise ConfigError(f"unknown setting {_shown(name)}{hint}")
        section, key = name.split(".")
        sections.setdefault(section, {})[key] = value
    return dataclasses.replace(
        config,
        **{
            section: dataclasses.replace(getattr(config, section), **values)
            for section, values in sections.items()
        },
    )


def leaves() -> list[tuple[str, Any, dataclasses.Field[Any]]]:
    """`(dotted name, type, field)` of every setting."""
    found: list[tuple[str, Any, dataclasses.Field[Any]]] = []
    for section, cls in typing.get_type_hints(Config).items():
        hints = typing.get_type_hints(cls)
        found += [
            (f"{section}.{f.name}", hints[f.name], f) for f in dataclasses.fields(cls)
        ]
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a `--section.key` option for every setting.

    An option that isn't given leaves no trace, so that the config file's value stands.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}  # pyright: ignore[reportPrivateUsage]
    for name, hint, leaf in leaves():
        section = name.split(".")[0]
        group = groups.setdefault(section, parser.add_argument_group(section))
        default = leaf.default
        shown = default
        if isinstance(default, tuple):
            shown = ",".join(map(str, cast(tuple[Any, ...], default))) or "all"
        options: dict[str, Any] = {
            "dest": name,
            "default": argparse.SUPPRESS,
            "help": f"{leaf.metadata['help']} (default: {shown})",
        }
        if hint is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif typing.get_origin(hint) is Literal:
            options["choices"] = typing.get_args(hint)
        else:
            options["type"] = _parser_of(hint)
            options["metavar"] = leaf.name.split("_")[-1].upper()
        group.add_argument(f"--{name}", **options)


def from_arguments(arguments: argparse.Namespace, unknown: Sequence[str]) -> Config:
    """The config that parsed arguments ask for: `--config` file, then overrides.

    Args:
      arguments: from a parser with `--config` and `add_arguments`.
      unknown: what `parse_known_args` left over.

    Raises:
      ConfigError: an unknown option with the nearest valid one, or a bad value.
    """
    for word in unknown:
        name = word.removeprefix("--").split("=")[0]
        valid = [leaf for leaf, _, _ in leaves()]
        raise ConfigError(f"unknown option {_shown(word)}{_nearest(name, valid)}")
    config = load(arguments.config) if arguments.config else Config()
    names = {name for name, _, _ in leaves()}
    return override(config, {k: v for k, v in vars(arguments).items() if k in names})


def _parser_of(hint: Any) -> Any:
    if isinstance(hint, types.GenericAlias):  # tuple[item, ...]
        item = typing.get_args(hint)[0]

        def parse_tuple(text: str) -> tuple[Any, ...]:
            try:
                return tuple(item(word) for word in text.split(",") if word)
            except ValueError:
                raise argparse.ArgumentTypeError(
                    f"invalid value: {text!r}; expected {_plural(item)} separated by"
                    " commas"
                ) from None

        return parse_tuple
    return hint


def _nearest(name: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""


def _check(ok: bool, name: str, value: object, expected: str) -> None:
    if not ok:
        raise ConfigError(f"{name} is {_shown(value)}; expected {expected}")


def _shown(value: object) -> str:
    """A value as Python writes it, cut short if it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _check_types(section: str, values: object) -> None:
    """Refuse what isn't of its field's type, as a config file may well have it."""
    for name, hint in typing.get_type_hints(type(values)).items():
        value = getattr(values, name)
        if not _is_of(hint, value):
            name = f"{section}.{name}" if section else name
            _check(False, name, value, _described(hint, value))


def _is_of(hint: Any, value: Any) -> bool:
    """Whether a value is of a type; a whole number is a number, but True is neither."""
    if typing.get_origin(hint) is Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        parts = cast(tuple[Any, ...], value)
        return isinstance(value, tuple) and all(_is_of(item, part) for part in parts)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _described(hint: Any, value: object) -> str:
    """What a value of a type is, in words, with the one nearest to a wrong one."""
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        return f"{' or '.join(map(repr, choices))}{_nearest(str(value), choices)}"
    if typing.get_origin(hint) is tuple:
        return f"a tuple of {_plural(typing.get_args(hint)[0])}"
    return "True or False" if hint is bool else f"a {_NAMES.get(hint, hint.__name__)}"


def _plural(hint: Any) -> str:
    return f"{_NAMES[hint]}s"


def _check_positive(name: str, value: int, most: int | None = None) -> None:
    numbers = f" from 1 to {most}" if most else ", at least 1"
    ok = 1 <= value <= (most or value)
    _check(ok, name, value, f"a whole number{numbers}")


def _check_not_negative(name: str, value: float) -> None:
    _check(0 <= value < math.inf, name, value, "a finite number, at least 0")


def _check_fraction(name: str, value: float) -> None:
    _check(0 <= value < 1, name, value, "a number from 0 up to but not including 1")
