"""Writing files so that they are either complete or not there at all."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, renamed to `path` once complete.

    It has the same suffix as `path`, which writers of pictures and arrays go by. Until
    the block ends, and for good if it raises, `path` stays as it was.

    Raises:
      OSError: it can't be written; unlike the system's own, it names the file.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        why = error.strerror or str(error)
        raise OSError(f"{path} can't be written: {why}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def check_writable(path: Path, *, directory: bool = False) -> None:
    """Refuse a place that nothing can be written to, before any work is done.

    Nothing is created.

    Args:
      path: of the file to come, or of a directory for files.
      directory: that it is one.

    Raises:
      OSError: something else is there, or the directory isn't writable.
    """
    if not directory and path.is_dir():
        raise OSError(f"{path} can't be written: it is a directory")
    there = path if directory else path.parent
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise OSError(f"{path} can't be written: {there} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OSError(f"{path} can't be written: no permission to write in {there}")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep a directory to this process; nothing is left behind, even if it is killed.

    Raises:
      OSError: another process has it.
    """
    opened = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Some network file systems have no locks: there one has to take care.
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise OSError(f"another run is using {directory}") from None
        yield
    finally:
        os.close(opened)
