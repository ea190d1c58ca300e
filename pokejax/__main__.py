"""The command `pokejax`, and `python -m pokejax`: hands over to all others.

What they need is loaded when one is chosen: `pokejax --help` answers at once.
"""

import functools
import sys
from collections.abc import Sequence

from pokejax import __version__
from pokejax.commands import COMMANDS, load
from pokejax.startup import explain

_EXAMPLES = """
examples, from nothing to a model of your own:
  pokejax draw --prompt "a small blue water turtle" --num 4 --seed 42
  pokejax serve
  pokejax data fetch_sprites --limit 20
  pokejax data generate_metadata
  pokejax data create_dataset
  pokejax train --config quickstart

`pokejax COMMAND --help` lists a command's options, `pokejax --version` says which
pokejax this is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; returns its exit code, 2 if none does.

    Args:
      argv: arguments without the program's name; None reads the command line.
    """
    sys.excepthook = explain
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["data"]:
        words[:2] = [" ".join(words[:2])]
    name, *rest = words or ["--help"]
    if name in ("-h", "--help", "help", "data", "data -h", "data --help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"pokejax {__version__}")
        return 0
    if name not in COMMANDS:
        from pokejax.attributes import nearest_hint

        hint = nearest_hint(name, COMMANDS) or "; pokejax --help lists them"
        print(f"error: no command {name!r}{hint}", file=sys.stderr)
        return 2
    module = load(COMMANDS[name][0])
    if name == "train":
        from pokejax.training.mesh import exit_with

        exit_with(functools.partial(module.main, rest))
    return module.main(rest)


def _help() -> str:
    lines = [f"  {name:24}{about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(["usage: pokejax COMMAND [OPTION ...]\n", *lines, _EXAMPLES])


if __name__ == "__main__":
    sys.exit(main())
