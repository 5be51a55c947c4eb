"""Versions over HTTP: a block's history, the block as it was, diffs, undo and restore."""

from typing import Any

import httpx
import pytest

from tests.http.conftest import Make

pytestmark = pytest.mark.anyio
UNKNOWN = "block-123e4567-e89b-42d3-8456-426614174000"


async def appended(client: httpx.AsyncClient, block: dict[str, Any], *texts: str) -> None:
    for text in texts:
        body = {"operation": "append", "text": text}
        assert (await client.post(f"/v1/blocks/{block['id']}/edits", json=body)).status_code == 200


async def test_the_history_says_who_did_what_and_how_far_back_it_goes(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    block = await make_block(value="a\n")
    await appended(client, block, "b\n", "c" * 3000)
    await client.patch(f"/v1/blocks/{block['id']}", json={"description": "d"})
    told = (await client.get(f"/v1/blocks/{block['id']}/versions")).json()
    assert (told["oldest"], told["newest"], told["dropped"]) == (1, 4, 0)
    assert [entry["version"] for entry in told["versions"]] == [4, 3, 2, 1]
    configured, long, short, created = told["versions"]
    assert (created["operation"], short["operation"], configured["operation"]) == (
        "create",
        "append",
        "configure",
    )
    assert configured["configured"] == ["description"]
    assert (short["added"], short["removed"], short["cut"]) == ("b\n", "", False)
    assert (short["chars_before"], short["chars_after"], short["author"]["name"]) == (2, 4, "api")
    assert (len(long["added"]), long["cut"]) == (2000, True)
    page = await client.get(
        f"/v1/blocks/{block['id']}/versions", params={"order": "asc", "after": 1, "limit": 2}
    )
    assert [entry["version"] for entry in page.json()["versions"]] == [2, 3]
    edges: list[dict[str, str]] = [{"after": "0"}, {"before": "0", "order": "asc"}]
    for query in edges:
        edge = await client.get(f"/v1/blocks/{block['id']}/versions", params=query)
        assert (edge.status_code, edge.json()["versions"]) == (200, [])


async def test_a_block_is_read_as_it_was(client: httpx.AsyncClient, make_block: Make) -> None:
    block = await make_block(value="a")
    await appended(client, block, "b")
    then = (await client.get(f"/v1/blocks/{block['id']}/versions/1")).json()
    assert (then["value"], then["version"], then["label"]) == ("a", 1, "notes")
    assert then["edit"]["operation"] == "create"


async def test_two_versions_are_compared(client: httpx.AsyncClient, make_block: Make) -> None:
    block = await make_block(value="a\n")
    await appended(client, block, "b\n", "c\n")
    path = f"/v1/blocks/{block['id']}/diff"
    last = (await client.get(path)).json()
    assert (last["from_version"], last["to_version"]) == (2, 3)
    assert last["diff"].endswith(" b\n+c\n")
    whole = (await client.get(path, params={"from_version": 1, "to_version": 3})).json()
    assert whole["diff"].endswith(" a\n+b\n+c\n")
    fresh = await make_block()
    assert (await client.get(f"/v1/blocks/{fresh['id']}/diff")).json()["diff"] == ""


async def test_an_edit_is_undone_and_a_version_restored(client: httpx.AsyncClient, make_block: Make) -> None:
    block = await make_block(value="a\n")
    await appended(client, block, "b\n", "c\n")
    path = f"/v1/blocks/{block['id']}/versions"
    undone = await client.post(f"{path}/2/undo", json={})
    assert undone.json()["value"] == "a\nc\n"
    assert undone.json()["edit"] == {"version": 4, "changed": True, "repeated": False}
    assert undone.headers["etag"] == '"4"'
    restored = await client.post(f"{path}/3/restore")
    assert restored.json()["value"] == "a\nb\nc\n"
    newest = (await client.get(path, params={"limit": 2})).json()["versions"]
    assert [(entry["undoes"], entry["restores"]) for entry in newest] == [(None, 3), (2, None)]


async def test_what_cannot_be_undone_is_a_conflict_with_both_texts(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    block = await make_block(value="old")
    await client.patch(f"/v1/blocks/{block['id']}", json={"value": "new"})
    await client.patch(f"/v1/blocks/{block['id']}", json={"value": "third"})
    answer = await client.post(f"/v1/blocks/{block['id']}/versions/2/undo", json={})
    assert answer.status_code == 409
    told = answer.json()
    assert told["edit"] == {"version": 2, "added": "new", "removed": "old"}
    assert told["current"] == {"version": 3, "value": "third"}
    assert told["detail"].startswith("CONFLICT: version:")
    assert answer.headers["x-should-retry"] == "false"


async def test_a_stale_version_is_409_in_the_body_and_412_in_the_header(
    client: httpx.AsyncClient, make_block: Make
) -> None:
    block = await make_block(value="a")
    await appended(client, block, "b", "c")
    path = f"/v1/blocks/{block['id']}/versions"
    for act in ("undo", "restore"):
        in_body = await client.post(f"{path}/2/{act}", json={"expected_version": 2})
        in_header = await client.post(f"{path}/2/{act}", json={}, headers={"If-Match": '"2"'})
        assert (in_body.status_code, in_header.status_code) == (409, 412)
        assert in_header.json()["current"] == {"version": 3, "value": "abc"}


@pytest.mark.parametrize("version", ["0", "9", "x", "-1", "²", "1" * 10])
async def test_a_version_that_never_was_is_refused(
    client: httpx.AsyncClient, make_block: Make, version: str
) -> None:
    block = await make_block()
    path = f"/v1/blocks/{block['id']}/versions/{version}"
    answers = [
        await client.get(path),
        await client.post(f"{path}/undo"),
        await client.post(f"{path}/restore"),
    ]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert all(answer.json()["detail"].startswith("INVALID_ARGUMENT: version:") for answer in answers)


async def test_an_unknown_block_has_no_history(client: httpx.AsyncClient) -> None:
    path = f"/v1/blocks/{UNKNOWN}"
    answers = [
        await client.get(f"{path}/versions"),
        await client.get(f"{path}/versions/1"),
        await client.get(f"{path}/diff"),
        await client.post(f"{path}/versions/2/undo"),
        await client.post(f"{path}/versions/1/restore"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5


@pytest.mark.parametrize("act", ["undo", "restore"])
@pytest.mark.parametrize("named", ["edit_id", "key", "attempts"])
async def test_taking_back_is_done_once_however_often_it_is_asked_for(
    client: httpx.AsyncClient, make_block: Make, act: str, named: str
) -> None:
    """Even where it could not be done again: the text of version 2 is no longer there after its undo."""
    block = await make_block(value="a\n")
    await appended(client, block, "b\n", "c\n")
    body = {"edit_id": "back-1"} if named == "edit_id" else {}
    key = {"Idempotency-Key": "back-1"} if named == "key" else {}
    answers = []
    for attempt in ("0", "1", "2"):
        headers = key | ({"X-Stainless-Retry-Count": attempt} if named == "attempts" else {})
        path = f"/v1/blocks/{block['id']}/versions/2/{act}"
        answers.append((await client.post(path, json=body, headers=headers)).json())
        await appended(client, block, f"{attempt}\n")
    assert [answer["edit"] for answer in answers] == [
        {"version": 4, "changed": True, "repeated": repeated} for repeated in (False, True, True)
    ]
    then = "a\nc\n" if act == "undo" else "a\nb\n"
    assert (await client.get(f"/v1/blocks/{block['id']}")).json()["value"] == f"{then}0\n1\n2\n"


@pytest.mark.parametrize("first", ["2/undo", "2/restore"])
@pytest.mark.parametrize("other", ["3/undo", "1/restore", "edits"])
async def test_an_edit_id_names_one_request_only(
    client: httpx.AsyncClient, make_block: Make, first: str, other: str
) -> None:
    block = await make_block(value="a\n")
    await appended(client, block, "b\n", "c\n")
    path = f"/v1/blocks/{block['id']}"
    assert (await client.post(f"{path}/versions/{first}", json={"edit_id": "back"})).status_code == 200
    before = (await client.get(path)).json()
    if other == "edits":
        body = {"operation": "append", "text": "x", "edit_id": "back"}
        answer = await client.post(f"{path}/edits", json=body)
    else:
        answer = await client.post(f"{path}/versions/{other}", json={"edit_id": "back"})
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("CONFLICT: edit_id: 'back' was used before")
    assert (await client.get(path)).json() == before


async def test_an_edit_may_be_named_by_a_key_as_well(client: httpx.AsyncClient, make_block: Make) -> None:
    block = await make_block(value="a")
    path, key = f"/v1/blocks/{block['id']}/edits", {"Idempotency-Key": "edit-1"}
    body = {"operation": "append", "text": "b"}
    answers = [await client.post(path, json=body, headers=key) for _ in range(3)]
    assert [answer.json()["edit"]["repeated"] for answer in answers] == [False, True, True]
    other = await client.post(path, json={"operation": "append", "text": "c"}, headers=key)
    assert (other.status_code, other.json()["detail"][:27]) == (409, "CONFLICT: Idempotency-Key: ")
    sdk = {"X-Stainless-Retry-Count": "0"}
    await client.post(path, json=body, headers=sdk)
    await client.post(path, json=body, headers=sdk | {"X-Stainless-Retry-Count": "1"})
    assert (await client.get(f"/v1/blocks/{block['id']}")).json()["value"] == "abb"
