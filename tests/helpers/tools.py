"""Commands that come with the packages of this environment."""

import sys
from pathlib import Path


def tool(name: str) -> str:
    """The path of a command beside the running Python."""
    return str(Path(sys.executable).parent / name)
