"""The application: `uvicorn server.app:app`, or `python -m server`."""

import logging.config
import sys

from litestar import Litestar
from litestar.di import Provide

from .batches import Batches
from .drawing import read_drawing
from .errors import answer_error
from .gate import Gate
from .jobs import Jobs
from .log import LOG_CONFIG
from .openapi import API_ROUTES, openapi_document
from .pages import PAGES
from .routes_a1111 import Runs
from .service import Service
from .settings import Settings, SettingsError, read_settings


def create_app(settings: Settings | None = None) -> Gate:
    """The service as an ASGI application; its model is loaded when it starts.

    Args:
      settings: None reads them from the environment.

    Raises:
      SettingsError: a variable can't be used.
    """
    settings = read_settings() if settings is None else settings
    service = Service(settings)
    jobs, batches, runs = Jobs(service), Batches(settings.batch_dir), Runs()
    litestar = Litestar(
        [*API_ROUTES, openapi_document, *PAGES],
        dependencies={
            "service": Provide(lambda: service, sync_to_thread=False),
            "jobs": Provide(lambda: jobs, sync_to_thread=False),
            "batches": Provide(lambda: batches, sync_to_thread=False),
            "runs": Provide(lambda: runs, sync_to_thread=False),
            "drawing": Provide(read_drawing),
        },
        exception_handlers={Exception: answer_error},
        openapi_config=None,  # server.openapi documents what is checked, as it is
        logging_config=None,
        request_max_body_size=None,  # the gate has limits for it
    )
    return Gate(litestar, service)


logging.config.dictConfig(LOG_CONFIG)
try:
    app = create_app()
except SettingsError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
