"""The application: `uvicorn server.app:app`, or `python -m server`."""

import logging
import sys

from litestar import Litestar
from litestar.datastructures import State

from server.errors import answer_error
from server.gate import Gate
from server.jobs import Jobs
from server.openapi import DOCS_ROUTES
from server.routes import ROUTES
from server.routes_openai import images_generations
from server.service import Service
from server.settings import Settings, SettingsError, read_settings


def create_app(settings: Settings | None = None) -> Gate:
    """The service as an ASGI application; its model is loaded when it starts.

    Args:
      settings: None reads them from the environment.

    Raises:
      SettingsError: a variable can't be used.
    """
    settings = read_settings() if settings is None else settings
    service = Service(settings)
    litestar = Litestar(
        [
            *ROUTES,
            images_generations,
            *DOCS_ROUTES,
        ],
        exception_handlers={Exception: answer_error},
        openapi_config=None,  # server.openapi documents what is checked, as it is
        logging_config=None,
        state=State({"service": service, "jobs": Jobs(service)}),
    )
    _set_up_log()
    return Gate(litestar, service)


def _set_up_log() -> None:
    """JSON lines on stderr; uvicorn's own access log would print prompts."""
    log = logging.getLogger("pokejax.server")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


try:
    app = create_app()
except SettingsError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
