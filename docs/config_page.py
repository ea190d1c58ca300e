"""Write docs/config.md from the dataclasses of `pokejax.config`."""

import types
import typing
from pathlib import Path
from typing import Any, Literal

from pokejax import config

PAGE = Path(__file__).with_name("config.md")
_INTRO = """\
# Configuration

<!-- Written by `make config-page` from pokejax/config.py: edit that, not this. -->

Every setting of `pokejax train`. A [recipe](training.md) assigns the ones it
cares about; on the command line any of them can be changed by its dotted name, and a
`no-` in front of the name turns a switch off:

```console
pokejax train --config pokemon64 --train.epochs 50 --no-data.flip
```

Lists are comma-separated (`--model.channels 32,64,128`). A value that makes no sense is
refused before anything is loaded, with the name of the setting and what it accepts. The
settings of the service are environment variables: [The API](api.md#running-it).
"""


def page() -> str:
    """The page as Markdown: a section and a table for each dataclass."""
    parts = [_INTRO]
    for section, cls in typing.get_type_hints(config.Config).items():
        doc = " ".join((cls.__doc__ or "").split())
        parts.append(f"\n## {section}\n\n{doc}\n\n")
        parts.append("| option | values | default | meaning |\n|---|---|---|---|\n")
        for name, hint, leaf in config.leaves():
            if name.startswith(f"{section}."):
                cells = (f"`--{name}`", _values(hint), _default(leaf.default))
                text = leaf.metadata["help"].replace("|", r"\|")
                parts.append(f"| {' | '.join(cells)} | {text} |\n")
    return "".join(parts)


def _values(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return ", ".join(f"`{word}`" for word in typing.get_args(hint))
    if isinstance(hint, types.GenericAlias):  # tuple[item, ...]
        return f"list of {_values(typing.get_args(hint)[0])}s"
    return {bool: "switch", str: "word", int: "whole number", float: "number"}[hint]


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"`{value}`" if value != "" else "empty"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
