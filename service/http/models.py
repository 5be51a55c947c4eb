"""Models over HTTP: which language and embedding models a handle may name."""

from starlette.responses import Response

from service.http.answers import json_answer
from service.http.calls import Call, Nothing
from service.http.routing import Route
from service.http.schemas.models import (
    EmbeddingModel,
    Model,
    ModelListQuery,
    embedding_response,
    model_response,
)


async def find(call: Call[ModelListQuery, Nothing]) -> Response:
    """List models

    Names that are not listed may resolve too: any of a provider's own family.
    """
    catalog = call.service.catalog
    shown = [model_response(entry, catalog.llm_config(entry)) for entry in catalog.models()]
    return json_answer([model for model in shown if call.query.wants(model)])


async def embeddings(call: Call[Nothing, Nothing]) -> Response:
    """List embedding models"""
    catalog = call.service.catalog
    entries = catalog.embeddings()
    return json_answer([embedding_response(entry, catalog.embedding_config(entry)) for entry in entries])


ROUTES = [
    Route("GET", "/v1/models/", find, "Models", list[Model]),
    Route("GET", "/v1/models/embedding", embeddings, "Models", list[EmbeddingModel]),
]
