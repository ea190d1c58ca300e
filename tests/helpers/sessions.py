"""All processes that a command started, also through others: those of its session."""

from pathlib import Path


def processes_of(session: int) -> list[tuple[int, str]]:
    """Number and command line of each process of a session that still runs."""
    found: list[tuple[int, str]] = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            # After the name, which may hold anything: state, parent, group, session.
            state, _, _, its = (
                (path / "stat").read_text().rpartition(")")[2].split()[:4]
            )
            called = (path / "cmdline").read_text("utf-8", "replace")
        except OSError:
            continue  # it has just ended
        if int(its) == session and state != "Z":
            found.append((int(path.name), called.replace("\0", " ")))
    return found
