"""Sprites that stand in a public git repository: a few folders of one pinned commit.

A commit's name is a hash of all that it holds, so what arrives under the right name is
what was pinned. Nothing but the wanted folders is transferred: the clone is shallow,
sparse, and without files that aren't checked out.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .sprite_sources import FetchError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NO_NETWORK = re.compile(
    r"Could not resolve|unable to access|Connection|timed out|unreachable",
    re.IGNORECASE,
)
_NO_COMMIT = re.compile(r"not our ref|couldn't find remote ref|unadvertised object")


@dataclass(frozen=True)
class Repository:
    """A commit of a public repository, and the folders and files wanted from it."""

    url: str
    commit: str
    paths: tuple[str, ...]


def obtain(origin: str | None, pinned: Repository, cache: Path) -> Path:
    """A folder that holds `pinned.paths`.

    Args:
      origin: a folder that is there already; another address, alone or with
        `@COMMIT` behind it; None is the pinned repository.
      pinned: what is meant where `origin` doesn't say.
      cache: where checkouts are kept.

    Raises:
      FetchError: git is missing or fails, the network or the commit can't be reached,
        or the cache can't be written.
    """
    if origin and "://" not in origin and not origin.startswith("git@"):
        if not Path(origin).is_dir():
            raise FetchError(
                f"--from {origin!r} is not a folder; an address has '://' in it"
            )
        return Path(origin)
    url, commit = origin or pinned.url, pinned.commit
    name, at, tail = url.rpartition("@")
    if at and _COMMIT.fullmatch(tail):
        url, commit = name, tail
    name = re.sub(r"\W+", "-", url.rstrip("/").rpartition("/")[2].removesuffix(".git"))
    checkout = cache / f"{name}-{commit[:12]}"
    if shutil.which("git") is None:
        raise FetchError(
            f"git is not installed, and {url} needs it; give a local folder with --from"
        )
    if _is_whole(checkout, commit):
        return checkout
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for leftover in cache.glob("git-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="git-", dir=cache) as folder:
            fresh = Path(folder) / "checkout"
            _check_out(fresh, url, commit, pinned.paths)
            shutil.rmtree(checkout, ignore_errors=True)
            fresh.rename(checkout)
    except OSError as error:
        raise FetchError(
            f"cannot keep a checkout in {str(cache)!r}: {error.strerror}; choose"
            " another folder with --cache"
        ) from error
    return checkout


def _is_whole(checkout: Path, commit: str) -> bool:
    if not (checkout / ".git").is_dir():
        return False
    head = _git(checkout, "rev-parse", "HEAD")
    changed = _git(checkout, "status", "--porcelain")
    return head == (0, commit) and changed == (0, "")


def _check_out(folder: Path, url: str, commit: str, paths: tuple[str, ...]) -> None:
    folder.mkdir()
    patterns = [f"/{path}" for path in paths]
    steps = (
        ("init", "--quiet"),
        ("remote", "add", "origin", url),
        ("fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", commit),
        ("sparse-checkout", "set", "--no-cone", *patterns),
        ("-c", "advice.detachedHead=false", "checkout", "--quiet", commit),
    )
    caption = f"git fetch {url} at {commit[:8]}"
    with tqdm(bar_format="{desc} {elapsed}", desc=caption) as bar:
        for step in steps:
            code, said = _git(folder, *step)
            bar.update()
            if code:
                raise FetchError(_explained(url, commit, said))
    if not _is_whole(folder, commit):
        raise FetchError(f"{url} at {commit[:8]} arrived incomplete; try again")


def _explained(url: str, commit: str, said: str) -> str:
    elsewhere = "give a local folder with --from"
    if _NO_COMMIT.search(said):
        return f"{url} has no commit {commit}; name one with --from {url}@COMMIT"
    if _NO_NETWORK.search(said):
        return f"git can't reach {url}; {elsewhere}"
    lines = said.splitlines() or ["no reason given"]
    # Behind it stands advice.
    reason = next((line for line in lines if line.startswith("fatal: ")), lines[0])
    return f"git failed on {url}: {reason.removeprefix('fatal: ')}; {elsewhere}"


def _git(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code, and what was printed."""
    # Never a question at the terminal; no setting of the user's repositories.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ("git", "-C", str(folder), *arguments),
        env=environment | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout.strip()
