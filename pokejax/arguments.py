"""The command line's parser, as all commands have it."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line each, without all options before it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with 2."""
        self.exit(2, f"error: {message} (--help shows all options)\n")
