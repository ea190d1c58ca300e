"""nginx with the shipped configuration, on loopback, as a user without rights."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.live_server import free_port, port_answers, wait_for

SHIPPED = Path("deploy/nginx")
NOBODY = 65534
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


@dataclass
class Proxy:
    """A proxy that runs; `folder` holds all that it reads and writes."""

    port: int
    tls_port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return (self.folder / "log").read_text()


def replace_once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@contextlib.contextmanager
def proxy(upstream: int, certificates: Path | None = None) -> Iterator[Proxy]:
    """Run nginx in front of a port; only ports and folders differ from the shipped."""
    # Not pytest's folder, whose parents nobody may enter.
    folder = Path(tempfile.mkdtemp(prefix="pokejax-proxy-"))
    running = Proxy(free_port(), free_port(), folder)
    text = (SHIPPED / "nginx.conf").read_text()
    text = replace_once(text, "server api:8000;", f"server 127.0.0.1:{upstream};")
    text = replace_once(text, "listen 8080;", f"listen 127.0.0.1:{running.port};")
    text = text.replace("/tmp/", f"{folder}/")
    (folder / "nginx.conf").write_text(text)
    if certificates:
        tls = (SHIPPED / "tls.conf").read_text()
        tls = replace_once(tls, "listen 8443 ", f"listen 127.0.0.1:{running.tls_port} ")
        tls = tls.replace("/run/certificates", str(folder / "certificates"))
        shutil.copytree(certificates, folder / "certificates")
        (folder / "tls").mkdir()
        (folder / "tls" / "tls.conf").write_text(tls)
    rights: dict[str, Any] = {}
    if os.geteuid() == 0:
        rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    assert NGINX
    command = [NGINX, "-c", str(folder / "nginx.conf")]
    try:
        with (folder / "log").open("wb") as log:
            if rights:
                os.fchown(log.fileno(), NOBODY, NOBODY)
            output: dict[str, Any] = {"stdout": log, "stderr": log, **rights}
            subprocess.run([*command, "-t", "-q"], **output, check=True)
            with subprocess.Popen([*command, "-g", "daemon off;"], **output) as process:
                try:
                    wait_for(
                        lambda: port_answers(running.port) or process.poll() is not None
                    )
                    assert process.poll() is None, running.log()
                    yield running
                finally:
                    process.terminate()
    finally:
        shutil.rmtree(folder)
