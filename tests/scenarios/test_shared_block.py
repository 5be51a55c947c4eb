"""Many agents write to one block at the same time, and nothing anybody was told is done is lost."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.scenarios.api import Api, Found, turn

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

AGENTS, APPENDS, REST = 16, 10, 40


async def team_of_agents(api: Api, board: str) -> list[str]:
    """Half of them append with the tool of one kind of agents, half insert with that of the other."""
    kinds: list[Found] = [{"agent_type": "memgpt_agent"}, {"agent_type": "letta_v1_agent"}]
    return [await api.agent(board, **kinds[n % 2]) for n in range(AGENTS)]


def script_of(n: int) -> list[Found]:
    if n % 2 == 0:
        write = [turn("core_memory_append", label="board", content=f"agent {n}, {m}") for m in range(APPENDS)]
        return [*write, turn("send_message", message="All is written.")]
    write = [turn("memory_insert", label="board", new_string=f"agent {n}, {m}") for m in range(APPENDS)]
    return [*write, {"text": "All is written."}]


async def all_write(api: Api, agents: list[str]) -> list[str]:
    """The runs, once all have ended."""
    runs = await asyncio.gather(*(api.send(agent, *script_of(n)) for n, agent in enumerate(agents)))
    ended = await asyncio.gather(*(api.ended(run, 40) for run in runs))
    assert {(run["status"], run["stop_reason"]) for run in ended} == {("completed", "end_turn")}
    return runs


def lines_of_agents() -> list[str]:
    return [f"agent {n}, {m}" for n in range(AGENTS) for m in range(APPENDS)]


async def test_sixteen_agents_append_ten_lines_each_and_all_160_are_there(
    api: Api, report: Callable[[str], None]
) -> None:
    """A team shares one board. Every line that an agent was told is written can be read afterwards, each
    agent's in the order it wrote them; nobody was refused, and nobody had to try again."""
    board = await api.block("board")
    agents = await team_of_agents(api, board)
    began = time.monotonic()
    runs = await all_write(api, agents)
    took_s = time.monotonic() - began

    lines = await api.lines(board)
    assert sorted(lines) == sorted(lines_of_agents())
    assert (await api.get(f"/v1/blocks/{board}"))["version"] == 1 + AGENTS * APPENDS
    for n in range(AGENTS):
        own = [line for line in lines if line.startswith(f"agent {n},")]
        assert own == [f"agent {n}, {m}" for m in range(APPENDS)]
    statuses = [status for run in runs for status in await api.tool_statuses(run)]
    assert set(statuses) == {"success"}
    assert len(statuses) == AGENTS * APPENDS
    report(f"{len(lines)} of {AGENTS * APPENDS} lines in {took_s:.2f} s")


async def test_a_service_that_writes_over_http_meanwhile_loses_nothing_either(api: Api) -> None:
    """Agents are not alone: another service appends to the same block through the API while they work."""
    board = await api.block("board")
    agents = await team_of_agents(api, board)
    written: list[int] = []

    async def service() -> None:
        for n in range(REST):
            written.append(await api.append(board, f"\nservice, {n}"))

    await asyncio.gather(all_write(api, agents), service())
    lines = await api.lines(board)
    assert sorted(lines) == sorted([*lines_of_agents(), *(f"service, {n}" for n in range(REST))])
    assert (await api.get(f"/v1/blocks/{board}"))["version"] == 1 + AGENTS * APPENDS + REST
    assert written == sorted(set(written))
    assert [line for line in lines if line.startswith("service")] == [f"service, {n}" for n in range(REST)]
