"""Whatever a client may send, the answer is one that the OpenAPI document declares.

Requests are made up from the document, fitting it and not, for one real Blockwire with
things of every kind in it; the same ones in every run. `make fuzz` makes many more.

A feed of changes has no end, so its refusals alone are met here.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from service.http.app import ROUTES
from service.http.openapi import openapi
from service.http.routing import EVENT_STREAM, Route
from tests.running import running_blockwire

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
"""Requests per route and kind; there are two kinds."""
SEED = int(os.environ.get("FUZZ_SEED", "1"))
NOBODY = "http://127.0.0.1:9/"
"""Where nobody takes what webhooks are sent."""
SENSE = {
    "url": NOBODY,
    "model": "offline/scripted",
    "embedding": "openai/text-embedding-3-small",
    "embedding_config": None,
    "llm_config": None,
    "tools": ["memory_insert"],
    "source_ids": [],
    "folder_ids": [],
    "identity_ids": [],
}
"""What a body needs to get past the first refusals, where it has these fields."""
SCENE = json.dumps({"script": [{"text": "Hello."}]})

LONGEST_URL = 60_000
TOLD_5XX = {501, 502}
"""What is no fault of the server's: no traces are kept; a model does not answer in the form that is asked."""


def no_fault_of_the_servers(context: Any, response: Any, case: Any) -> None:
    """The statuses from 500 on that the document declares are those of faults elsewhere; here are few."""
    assert response.status_code < 500 or response.status_code in TOLD_5XX, response.text


load_all_checks()
CHECKED: list[Any] = [
    no_fault_of_the_servers,
    *(
        CHECKS.get_one(name)
        for name in ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
    ),
]


@dataclass(frozen=True)
class Things:
    """One Blockwire, and how to make things in it."""

    url: str
    http: httpx.Client

    def fresh(self) -> dict[str, str]:
        """Path parameters that name things which are there, of every kind."""
        block = self._post("/v1/blocks/", {"label": "notes", "value": "one"})["id"]
        agent = self._post("/v1/agents/", {"model": "offline/scripted", "block_ids": [block]})["id"]
        self._post(f"/v1/agents/{agent}/messages", {"messages": [{"role": "user", "content": SCENE}]})
        run = self._get(f"/v1/runs/?agent_id={agent}")[0]["id"]
        watch = self._post(f"/v1/agents/{agent}/subscriptions", {"label": "nothing"})["id"]
        for hook in self._get(
            "/v1/webhooks/"
        ):  # whatever was made of it: off, or with all the pings it may have
            self.http.delete(f"/v1/webhooks/{hook['id']}").raise_for_status()
        hook = self._post("/v1/webhooks/", {"url": NOBODY, "tags": ["none"]})["id"]
        ping = self._post(f"/v1/webhooks/{hook}/ping", {})["id"]
        return {
            "webhook_id": hook,
            "delivery_id": ping,
            "block_id": block,
            "block_label": "notes",
            "agent_id": agent,
            "run_id": run,
            "step_id": self._get(f"/v1/runs/{run}/steps")[0]["id"],
            "message_id": self._get(f"/v1/runs/{run}/messages")[0]["id"],
            "tool_id": self._get("/v1/tools/")[0]["id"],
            "subscription_id": watch,
            "tool_name": "memory_insert",
        }

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self.http.post(path, json=body).raise_for_status().json()

    def _get(self, path: str) -> Any:
        return self.http.get(path).raise_for_status().json()


@pytest.fixture(scope="module")
def things() -> Iterator[Things]:
    with (
        running_blockwire(workers=1) as running,
        httpx.Client(base_url=running.url, trust_env=False, timeout=30) as http,
    ):
        yield Things(running.url, http)


@pytest.fixture(scope="module")
def document() -> OpenApiSchema:
    return schemathesis.openapi.from_dict(json.loads(json.dumps(openapi(ROUTES))))


def is_endless(route: Route) -> bool:
    return route.method == "GET" and route.media_type == EVENT_STREAM


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    "route", [one for one in ROUTES if not is_endless(one)], ids=lambda one: f"{one.method} {one.path}"
)
def test_every_answer_is_a_declared_one(
    route: Route, mode: GenerationMode, things: Things, document: OpenApiSchema
) -> None:
    operation = document[route.path.replace(":path}", "}")][route.method]
    there = things.fresh()
    sense: dict[str, Any] = SENSE | {"block_ids": [there["block_id"]], "tool_ids": [there["tool_id"]]}
    session = requests.Session()
    session.trust_env = False

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask(case: schemathesis.Case[Any], known: bool) -> None:
        if known:
            named = {name: there[name] for name in route.parameters if name in there}
            case.path_parameters = (case.path_parameters or {}) | named
            if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
                case.body |= {name: value for name, value in sense.items() if name in case.body}
        response = case.call(base_url=things.url, session=session, timeout=30)
        if len(str(response.request.url)) > LONGEST_URL:
            return  # refused by the reader of HTTP, before the app
        case.validate_response(response, checks=CHECKED)

    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with a request without any input
        ask()
