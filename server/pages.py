"""The pages: the studio, the API's documentation, their scripts and styles."""

import mimetypes
from pathlib import Path

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

# Read once, and looked up by name: no request reaches the file system.
_PAGES = {
    path.name: path.read_bytes()
    for path in (Path(__file__).parent / "web").iterdir()
    if path.is_file()
}


@get("/docs")
async def docs_page() -> Response[bytes]:
    """The API's documentation; everything on it comes from this server."""
    return Response(_PAGES["docs.html"], media_type=MediaType.HTML)


@get("/")
async def index_page() -> Response[bytes]:
    """The start page."""
    return Response(_PAGES["index.html"], media_type=MediaType.HTML)


@get("/web/{name:str}")
async def page_file(name: FromPath[str]) -> Response[bytes]:
    """A script or stylesheet of the pages."""
    if name not in _PAGES:
        raise NotFoundException
    return Response(_PAGES[name], media_type=mimetypes.guess_type(name)[0])


PAGES = [docs_page, index_page, page_file]
