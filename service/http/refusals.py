"""Refusals that several routes share, as the document declares them: a status, what it means, its JSON.

What nearly every route may answer is not here (openapi.py), nor what one alone does (its Route).
"""

from typing import Any

from service.http.schemas.errors import Error, ModelFailure

Refusals = dict[int, tuple[str, Any]]

MODEL_FAILED: Refusals = {
    400: ("A value cannot be used; or the model's provider says so", Error | ModelFailure),
    401: ("No token that holds; or the model's provider does not take its key", Error | ModelFailure),
    402: ("The model's provider wants credit", ModelFailure),
    429: ("The token's rate is spent; or the model's provider asks to slow down", Error | ModelFailure),
    500: ("The model failed otherwise", ModelFailure),
    504: ("The model did not answer in time; or no worker began the run", Error | ModelFailure),
}
NO_ANSWER: Refusals = {504: ("Who took it has not answered in time", Error)}
NOT_KEPT: Refusals = {410: ("It is no longer kept", Error)}
