"""An application that can't be ended by SIGTERM, as if one of its threads hung."""

import signal
from typing import Any

signal.signal(signal.SIGTERM, signal.SIG_IGN)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Start when told so, and never stop."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
