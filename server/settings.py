"""The service's settings and their defaults: variables named `POKEJAX_…`."""

import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pokejax.attributes import nearest_hint
from pokejax.inference import shipped

PREFIX = "POKEJAX_"


class SettingsError(ValueError):
    """A variable that can't be used; the message names it, its value and the limits."""


def _setting(default: Any, help: str, least: float = 0, most: float = 1e9) -> Any:
    return field(default=default, metadata={"help": help, "least": least, "most": most})


@dataclass(frozen=True)
class Settings:
    """One field per variable; `POKEJAX_MAX_QUEUE` sets `max_queue`."""

    model: Path = _setting(  # noqa: RUF009
        shipped.MODEL, "bundle, or a run's directory"
    )
    max_batch: int = _setting(
        1024, "most pictures drawn per call; the device's tile is the other limit", 1
    )
    tile_rows: int = _setting(
        0,
        "pictures computed per call of the device; a few pixels differ between sizes;"
        " 0: whatever suits the device",
        0,
        1024,
    )
    max_wait_ms: float = _setting(
        2.0, "longest time a partly filled call waits for more pictures", 0, 1000
    )
    max_queue: int = _setting(
        1024,
        "pictures that may wait, at most half of them from one client; others get 429",
        16,
    )
    deadline_s: float = _setting(
        30.0, "seconds a request may wait before it gets 504", 0.01
    )
    drain_s: float = _setting(20.0, "seconds that running requests get after SIGTERM")
    resume_s: float = _setting(
        15.0, "seconds for which /api/v1/jobs knows a stream after its reader left"
    )
    resume_key: str = _setting(
        "", "secret that lets servers of the same model resume each other's streams"
    )
    batch_dir: Path | None = _setting(  # noqa: RUF009
        None, "directory where servers note batches, for each other to go on with"
    )
    client_streams: int = _setting(64, "streams that one client may have open", 1)
    keep_alive_s: float = _setting(
        10.0, "seconds between the comments in a silent stream", 0.01
    )
    read_timeout_s: float = _setting(
        10.0,
        "seconds in which a request's headers, then each 128 KiB of its body, must"
        " arrive, and as much of the answer be taken",
        0.01,
    )
    max_body_bytes: int = _setting(
        65536, "largest request body without a picture", 1024
    )
    max_picture_body_bytes: int = _setting(
        4 * 2**20, "largest request body that a picture may be in", 1024, 2**25
    )
    api_keys: tuple[str, ...] = _setting(
        (), "comma-separated keys, one of which a request must carry; unset: open"
    )
    rate_limit: int = _setting(
        0, "requests per minute and client (its key or address); 0: no limit"
    )
    key_limits: tuple[int, ...] = _setting(
        (), "the same for each key, comma-separated, in the order of the keys"
    )
    cors_origins: tuple[str, ...] = _setting(
        (), "comma-separated origins whose pages may use the API; * is any"
    )
    any_model: bool = _setting(
        False, "1 answers OpenAI's clients whichever model they name"
    )
    runs_dir: Path | None = _setting(  # noqa: RUF009
        None, "directory of training runs for the studio to show"
    )
    training_index: Path | None = _setting(  # noqa: RUF009
        None,
        "file of pokejax.pack --index, to tell how near a picture is to training's",
    )
    log_prompts: bool = _setting(False, "1 writes prompts to the log")
    llm_timeout_s: float = _setting(
        8.0,
        "seconds for a language model to read a prompt, waiting included",
        0.1,
        120,
    )

    def __repr__(self) -> str:
        """Without the keys, since reprs end up in logs."""
        return f"Settings(model={str(self.model)!r}, …)"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of an environment; None is this process's.

    Raises:
      SettingsError: a value of another kind, out of range, or an unknown variable.
    """
    environ = os.environ if environ is None else environ
    known = {PREFIX + f.name.upper(): f for f in fields(Settings)}
    types = typing.get_type_hints(Settings)
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            hint = nearest_hint(name, known)
            raise SettingsError(f"there is no setting {name}{hint}")
        if name == f"{PREFIX}API_KEYS" and not text.strip(" ,"):
            # Set by somebody who wants keys, and whose file of secrets is empty, say.
            raise SettingsError(
                f"{name} is set but holds no key; unset it to run without keys"
            )
        if text.strip():
            setting = known[name]
            kind = types[setting.name]
            # A key is never part of a message.
            values[setting.name] = _convert(name, text.strip(), kind, setting.metadata)
    settings = Settings(**values)
    if settings.key_limits and len(settings.key_limits) != len(settings.api_keys):
        raise SettingsError(
            f"{PREFIX}KEY_LIMITS has {len(settings.key_limits)} numbers for"
            f" {len(settings.api_keys)} keys; expected one for each"
        )
    return settings


def _convert(name: str, text: str, kind: Any, limits: Mapping[str, Any]) -> Any:
    if kind is str:
        return text
    if kind in (Path, Path | None):
        return Path(text)
    if kind is bool:
        if text.lower() not in ("0", "1", "true", "false"):
            raise SettingsError(f"{name} is {text!r}; expected 0 or 1")
        return text.lower() in ("1", "true")
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not limits["least"] <= value <= limits["most"]:
            article = "a whole number" if kind is int else "a number"
            raise SettingsError(
                f"{name} is {text!r}; expected {article} from {limits['least']:g}"
                f" to {limits['most']:g}"
            )
        return value
    words = [word.strip() for word in text.split(",") if word.strip()]
    if kind == tuple[int, ...]:
        return tuple(_convert(name, word, int, limits) for word in words)
    return tuple(words)


def settings_help() -> str:
    """A line for each variable: name, default, meaning."""
    lines: list[str] = []
    for setting in fields(Settings):
        default = setting.default
        if default in ((), None):
            shown = "none"
        elif setting.name == "resume_key":
            shown = "a random one"
        elif default == shipped.MODEL:
            shown = "the included model"
        elif isinstance(default, bool):
            shown = str(int(default))
        else:
            shown = str(default)
        name = PREFIX + setting.name.upper()
        lines.append(f"  {name:<30} {setting.metadata['help']} (default: {shown})")
    return "\n".join(lines)
