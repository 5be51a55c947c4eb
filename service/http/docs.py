"""Documentation, served by the server itself: the OpenAPI document and a page that shows it.

The page is one file without anything from elsewhere; the document is put into it,
so it can be saved and read offline. Both are made when first asked for.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic_core import to_json
from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.openapi import Document, openapi
from service.http.routing import Route

_PAGE = Path(__file__).with_name("docs.html")
_PLACE = "/*DOCUMENT*/"
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    ),
    "x-content-type-options": "nosniff",
}


def documentation(routes: Sequence[Route]) -> list[Route]:
    """The routes that describe these routes."""

    @cache
    def document() -> Document:
        return openapi(routes)

    @cache
    def filled_page() -> str:
        # `<` inside JSON can only be in a string, where \u003c means the same and cannot end the script.
        inlined = to_json(document()).decode().replace("<", "\\u003c")
        return _PAGE.read_text(encoding="utf-8").replace(_PLACE, inlined)

    async def show_document(call: Call[Nothing, Nothing]) -> Response:
        """The OpenAPI document"""
        return json_answer(document())

    async def show_page(call: Call[Nothing, Nothing]) -> Response:
        """A page that shows the document"""
        return Response(filled_page(), headers=_HEADERS, media_type="text/html")

    async def show_way(call: Call[Nothing, Nothing]) -> Response:
        """The way to the page"""
        return Response(status_code=307, headers={"location": "/docs"})

    return [
        Route("GET", "/", show_way, "Documentation"),
        Route("GET", "/openapi.json", show_document, "Documentation"),
        Route("GET", "/docs", show_page, "Documentation"),
    ]
