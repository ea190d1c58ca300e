"""Which language model is asked, and access to the client that BAML generates.

Owns the reading of the `OPENAI_*` variables and the lazy import of `baml_client`, which
`make setup` generates from `baml_src/`. Imports `baml_py` only when it's needed.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from pokejax import commands

_DEFAULTS = {
    "OPENAI_MODEL": "gpt-4.1-mini",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
}
_LONGEST_ANSWER = 8000  # characters
_MOST_BRACKETS = 6  # opening ones; our answers have two
_SHORTEST_SECRET = 4  # characters; replacing less would garble any text


class LlmUnavailable(Exception):
    """No model can be asked; the message is one line that says what is missing."""


@dataclass(frozen=True)
class LlmEndpoint:
    """Where questions go.

    Attributes:
      model: asked first.
      fallback_model: asked when `model` fails; the same one means there is none.
      base_url: of any server that speaks OpenAI's chat protocol.
      api_key: never printed: not by `repr`, and `redact` takes it out of any text.
    """

    model: str
    fallback_model: str
    base_url: str
    api_key: str = field(repr=False)

    @property
    def models(self) -> tuple[str, ...]:
        """The models to try, in this order, each once."""
        return tuple(dict.fromkeys((self.model, self.fallback_model)))

    def for_model(self, model: str) -> "LlmEndpoint":
        """The same endpoint with `model` as the one that is asked."""
        return replace(self, model=model, fallback_model=model)

    def environment(self) -> dict[str, str]:
        """The variables that `baml_src/clients.baml` reads."""
        return {
            "OPENAI_MODEL": self.model,
            "OPENAI_FALLBACK_MODEL": self.fallback_model,
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": self.api_key,
        }

    def redact(self, text: str) -> str:
        """`text` on one line, without the API key."""
        if len(self.api_key) >= _SHORTEST_SECRET:
            text = text.replace(self.api_key, "[key]")
        return " ".join(text.split())


def read_endpoint(
    environ: Mapping[str, str] | None = None, *, need_key: bool = True
) -> LlmEndpoint:
    """The endpoint of `OPENAI_MODEL`, `_FALLBACK_MODEL`, `_BASE_URL` and `_API_KEY`.

    Args:
      environ: None reads the environment, and a file `.env` in the working directory
        for what isn't set there.
      need_key: off where nothing will be sent.

    Raises:
      LlmUnavailable: there's no key, or the base URL is none.
    """
    found = {**_read_dot_env(), **os.environ} if environ is None else dict(environ)

    def get(name: str) -> str:
        return found.get(name, "").strip() or _DEFAULTS.get(name, "")

    if need_key and not get("OPENAI_API_KEY"):
        raise LlmUnavailable(
            "OPENAI_API_KEY is not set: export it, or write OPENAI_API_KEY=... to .env "
            "(any value will do for your own server in OPENAI_BASE_URL)"
        )
    # Which may hold a password, so it isn't shown.
    if not get("OPENAI_BASE_URL").startswith(("http://", "https://")):
        raise LlmUnavailable("OPENAI_BASE_URL doesn't start with http:// or https://")
    try:
        port = urlsplit(get("OPENAI_BASE_URL")).port
    except ValueError:
        port = 0
    if port == 0:
        raise LlmUnavailable(
            "OPENAI_BASE_URL has no valid port (a / in a password is written %2F)"
        )
    return LlmEndpoint(
        model=get("OPENAI_MODEL"),
        fallback_model=get("OPENAI_FALLBACK_MODEL") or get("OPENAI_MODEL"),
        base_url=get("OPENAI_BASE_URL").rstrip("/"),
        api_key=get("OPENAI_API_KEY"),
    )


def _read_dot_env() -> dict[str, str]:
    try:
        lines = Path(".env").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines)
    return {
        name.strip(): value.strip().strip("'\"")
        for name, _, value in pairs
        if name.strip().startswith("OPENAI_")
    }


def load_baml_client() -> ModuleType:
    """The generated module `baml_client.sync_client`; its `b` has the functions.

    Raises:
      LlmUnavailable: a package isn't installed, or the client isn't generated for it.
    """
    try:
        logging = importlib.import_module("baml_py.logging")
        importlib.import_module("openai")
    except ImportError as error:
        raise LlmUnavailable(
            "asking a language model needs the packages baml-py and openai: "
            "pip install 'pokejax[data]'"
        ) from error
    if "BAML_LOG" not in os.environ:
        # By default it prints every prompt and answer to stderr.
        logging.set_log_level("OFF")
    try:
        return commands.load("baml_client.sync_client")
    except ImportError as error:
        raise LlmUnavailable(
            "the BAML client isn't generated, or not for the installed baml-py: run "
            "make setup in the checkout (or only: baml-cli generate)"
        ) from error


def check_answer(text: str) -> None:
    """Refuse an answer that would stall BAML's parser.

    It tries every way to read unclosed brackets: 400 times "[" keep it busy for
    seconds, 1600 exhaust memory, and a prompt's author can ask for them.

    Raises:
      ValueError: it's longer or more nested than any answer we ask for.
    """
    if len(text) > _LONGEST_ANSWER:
        raise ValueError(f"longer than {_LONGEST_ANSWER} characters")
    if text.count("[") + text.count("{") > _MOST_BRACKETS:
        raise ValueError("more brackets than in any answer asked for")


def word_of(value: str, vocabulary: tuple[str, ...]) -> str:
    """The word of `vocabulary` that a BAML enum's value stands for.

    BAML's values are identifiers: `"Stage1"` for `"Stage 1"`, `"NONE"` for `"None"`.

    Raises:
      KeyError: `value` stands for none of them.
    """
    return {w.replace(" ", "").lower(): w for w in vocabulary}[value.lower()]
