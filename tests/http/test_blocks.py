"""Blocks over HTTP."""

import json
from typing import Any

import httpx
import pytest

from tests.http.conftest import MODERN, Make

UNKNOWN = "block-123e4567-e89b-42d3-8456-426614174000"


async def edits(client: httpx.AsyncClient, block: dict[str, Any], **body: Any) -> httpx.Response:
    return await client.post(f"/v1/blocks/{block['id']}/edits", json=body)


async def test_a_block_is_created_and_read_back(client: httpx.AsyncClient, make_block: Make) -> None:
    made = await make_block("organization", "We ship.", description="d", tags=["a"], metadata={"k": 1})
    read = await client.get(f"/v1/blocks/{made['id']}")
    assert read.status_code == 200
    assert read.json() == made
    assert (made["value"], made["description"], made["tags"], made["metadata"]) == (
        "We ship.",
        "d",
        ["a"],
        {"k": 1},
    )
    assert (read.headers["etag"], read.headers["content-type"]) == ('"1"', "application/json")


async def test_a_block_without_a_label_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/blocks/", json={"value": "x"})
    assert answer.status_code == 422
    assert answer.json() == {"trace_id": "", "detail": "body.label: Field required"}


async def test_an_unknown_block_is_404_on_every_route(client: httpx.AsyncClient) -> None:
    path = f"/v1/blocks/{UNKNOWN}"
    answers = [
        await client.get(path),
        await client.patch(path, json={"value": "x"}),
        await client.patch(path, json={}),
        await client.delete(path),
        await client.get(f"{path}/agents"),
        await client.post(f"{path}/edits", json={"operation": "append", "text": "x"}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 6
    assert all(UNKNOWN in answer.json()["detail"] for answer in answers)


async def test_a_patch_applies_what_is_there_and_not_null(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    made = await make_block("notes", "x", description="d", tags=["a"])
    changed = await client.patch(
        f"/v1/blocks/{made['id']}", json={"value": "y", "description": None, "tags": [], "label": "other"}
    )
    block = changed.json()
    assert (block["value"], block["description"], block["tags"], block["label"]) == ("y", "d", [], "other")
    assert (block["version"], changed.headers["etag"]) == (2, '"2"')
    assert "edit" not in block


async def test_a_patch_that_names_nothing_changes_nothing(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    made = await make_block()
    answer = await client.patch(f"/v1/blocks/{made['id']}", json={"value": None, "unknown": 1})
    assert (answer.status_code, answer.json()) == (200, made)


async def test_an_outdated_version_in_the_body_is_409_with_the_current_one(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    made = await make_block("notes", "x")
    path = f"/v1/blocks/{made['id']}"
    assert (await client.patch(path, json={"value": "y", "expected_version": 1})).status_code == 200
    late = await client.patch(path, json={"value": "z", "expected_version": 1})
    assert late.status_code == 409
    assert late.json()["current"] == {"version": 2, "value": "y"}
    assert late.headers["x-should-retry"] == "false"
    assert (await client.patch(path, json={"expected_version": 1})).status_code == 409
    assert (await client.get(path)).json()["value"] == "y"


@pytest.mark.parametrize("header", ['"1"', "1"])
async def test_an_outdated_if_match_is_412(client: httpx.AsyncClient, make_block: Make, header: str) -> None:
    made = await make_block("notes", "x")
    path = f"/v1/blocks/{made['id']}"
    first = await client.patch(path, json={"value": "y"}, headers={"If-Match": header})
    late = await client.patch(path, json={"value": "z"}, headers={"If-Match": header})
    assert (first.status_code, late.status_code) == (200, 412)
    assert late.json()["current"] == {"version": 2, "value": "y"}


async def test_if_match_of_any_version_leaves_the_body_to_decide(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    made = await make_block("notes", "x")
    path, any_version = f"/v1/blocks/{made['id']}", {"If-Match": "*"}
    assert (await client.patch(path, json={"value": "y"}, headers=any_version)).status_code == 200
    late = await client.patch(path, json={"value": "z", "expected_version": 1}, headers=any_version)
    assert late.status_code == 409


@pytest.mark.parametrize("header", ['W/"1"', '"1", "2"', "abc", '""', '"', "-1", "1" * 20, "²"])
async def test_an_if_match_that_is_no_version_is_400(
    client: httpx.AsyncClient, make_block: Make, header: str
) -> None:
    made = await make_block()
    answer = await client.patch(
        f"/v1/blocks/{made['id']}", json={"value": "y"}, headers={b"If-Match": header.encode("latin-1")}
    )
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("INVALID_ARGUMENT: If-Match: ")


async def test_two_different_versions_in_one_request_are_400(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    made = await make_block()
    answer = await client.patch(
        f"/v1/blocks/{made['id']}", json={"value": "y", "expected_version": 1}, headers={"If-Match": '"2"'}
    )
    assert answer.status_code == 400


async def test_every_operation_edits_the_value(client: httpx.AsyncClient, make_block: Make) -> None:
    made = await make_block("notes", "one\n")
    for body, value in (
        ({"operation": "append", "text": "two\n"}, "one\ntwo\n"),
        ({"operation": "replace", "old": "two", "text": "2"}, "one\n2\n"),
        ({"operation": "set", "text": "a b a"}, "a b a"),
        ({"operation": "replace", "old": "a", "text": "c", "all": True}, "c b c"),
        ({"operation": "configure", "value": "done", "description": "d"}, "done"),
    ):
        answer = await edits(client, made, **body)
        assert (answer.status_code, answer.json()["value"]) == (200, value), answer.text
    block = answer.json()
    assert (block["description"], block["version"]) == ("d", 6)
    assert block["edit"] == {"version": 6, "changed": True, "repeated": False}
    assert answer.headers["etag"] == '"6"'


async def test_an_insert_goes_after_its_line(client: httpx.AsyncClient, make_block: Make) -> None:
    made = await make_block("notes", "a\nc")
    assert (await edits(client, made, operation="insert", text="b", line=1)).json()["value"] == "a\nb\nc"


async def test_an_edit_that_repeats_its_id_is_applied_once(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    made = await make_block("notes", "x")
    first = (await edits(client, made, operation="append", text="y", edit_id="e")).json()
    await edits(client, made, operation="append", text="z")
    again = (await edits(client, made, operation="append", text="y", edit_id="e")).json()
    assert (first["edit"]["repeated"], again["edit"]["repeated"]) == (False, True)
    assert (again["value"], again["version"], again["edit"]["version"]) == ("xyz", 3, 2)
    reused = await edits(client, made, operation="append", text="other", edit_id="e")
    assert (reused.status_code, reused.headers["x-should-retry"]) == (409, "false")


async def test_an_outdated_edit_is_409_or_412(client: httpx.AsyncClient, make_block: Make) -> None:
    made = await make_block("notes", "x")
    await edits(client, made, operation="append", text="y")
    assert (await edits(client, made, operation="set", text="z", expected_version=1)).status_code == 409
    answer = await client.post(
        f"/v1/blocks/{made['id']}/edits", json={"operation": "set", "text": "z"}, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 412


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"operation": "replace", "old": "nowhere", "text": ""}, "old: the text does not occur"),
        (
            {"operation": "replace", "old": "a", "text": ""},
            "old: the text occurs more than once (lines 1, 2)",
        ),
        ({"operation": "insert", "text": "x", "line": 9}, "line: must be between"),
        (
            {"operation": "append", "text": "x" * 20},
            "value: would have 23 characters, the block's limit is 10",
        ),
    ],
)
async def test_an_edit_that_cannot_be_applied_names_the_field(
    client: httpx.AsyncClient, make_block: Make, body: dict[str, Any], named: str
) -> None:
    made = await make_block("notes", "a\na", limit=10)
    answer = await edits(client, made, **body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"INVALID_ARGUMENT: {named}")


async def test_an_edit_without_its_text_is_422(client: httpx.AsyncClient, make_block: Make) -> None:
    answer = await edits(client, await make_block(), operation="append")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "body.text: required by the operation append"


async def test_an_edit_with_a_field_it_does_not_take_is_422_and_not_applied(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    made = await make_block("notes", "x")
    answer = await edits(client, made, operation="append", text="y", description="lost")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "body.description: not taken by the operation append"
    assert (await client.get(f"/v1/blocks/{made['id']}")).json()["version"] == made["version"]


async def test_a_deleted_block_is_gone_and_answers_null(client: httpx.AsyncClient, make_block: Make) -> None:
    made = await make_block()
    path = f"/v1/blocks/{made['id']}"
    deleted = await client.delete(path)
    assert (deleted.status_code, deleted.text) == (200, "null")
    assert (await client.delete(path)).status_code == 404


async def test_blocks_are_listed_oldest_first_in_pages(client: httpx.AsyncClient, make_block: Make) -> None:
    ids = [(await make_block(f"b{n}"))["id"] for n in range(5)]
    seen: list[str] = []
    page = {"limit": "2"}
    while found := (await client.get("/v1/blocks/", params=page)).json():
        seen += [block["id"] for block in found]
        page["after"] = seen[-1]
    assert seen == ids
    newest = await client.get("/v1/blocks/", params={"order": "desc", "limit": 1})
    assert [block["id"] for block in newest.json()] == ids[-1:]


async def test_lists_and_counts_are_filtered(client: httpx.AsyncClient, make_block: Make) -> None:
    both = await make_block("one", tags=["a", "b"])
    await make_block("two", tags=["a"])
    await make_block("hidden", hidden=True)
    some = await client.get("/v1/blocks/", params={"tags": ["a", "b"]})
    every = await client.get("/v1/blocks/", params={"tags": ["a", "b"], "match_all_tags": "true"})
    assert [block["label"] for block in some.json()] == ["one", "two"]
    assert [block["id"] for block in every.json()] == [both["id"]]
    shown = await client.get("/v1/blocks/", params={"show_hidden_blocks": "true"})
    assert len(shown.json()) == 3
    count = await client.get("/v1/blocks/count", params={"label": "two"})
    assert (count.text, count.status_code) == ("1", 200)


async def test_a_malformed_id_shows_what_an_id_looks_like(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/blocks/block-1")
    assert answer.status_code == 422
    assert answer.json()["examples"] == [UNKNOWN]


async def test_the_agents_of_a_block_are_listed(
    client: httpx.AsyncClient, make_block: Make, make_agent: Make
) -> None:
    block = await make_block("shared")
    ann, bob = await make_agent(block_ids=[block["id"]]), await make_agent(block_ids=[block["id"]])
    await make_agent()
    path = f"/v1/blocks/{block['id']}/agents"
    legacy = (await client.get(path)).json()
    assert [agent["id"] for agent in legacy] == [bob["id"], ann["id"]]
    assert legacy[0]["tools"] == []
    assert [one["id"] for one in legacy[0]["blocks"]] == [block["id"]]
    modern = (await client.get(path, params={"include": "agent.tools"}, headers=MODERN)).json()
    assert modern[0]["tools"]
    assert modern[0]["blocks"] == []


async def test_the_user_of_the_header_is_told_as_the_creator(client: httpx.AsyncClient) -> None:
    user = "user-123e4567-e89b-42d3-8456-426614174000"
    made = await client.post("/v1/blocks/", json={"label": "a"}, headers={"user_id": user})
    assert made.json()["created_by_id"] == user


async def test_text_of_any_script_comes_back_as_utf_8(client: httpx.AsyncClient, make_block: Make) -> None:
    made = await make_block("日本", "naïve 🙂")
    read = await client.get(f"/v1/blocks/{made['id']}")
    assert (read.json()["label"], read.json()["value"]) == ("日本", "naïve 🙂")
    assert "🙂".encode() in read.content


async def test_a_body_of_ten_megabytes_is_the_most(client: httpx.AsyncClient) -> None:
    body = json.dumps({"label": "a", "value": "x" * 10_000_000})
    answer = await client.post("/v1/blocks/", content=body)
    assert (answer.status_code, answer.json()) == (
        413,
        {"detail": "body: must not be larger than 10000000 bytes"},
    )
