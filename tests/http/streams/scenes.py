"""Scenes: what agents say in the tests of streams, and how those who listen ask for it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from service.bootstrap import Service
from service.errors import LeaseLost
from service.records.agents import Agent
from service.store.keys import key
from tests.http.conftest import WS
from tests.http.listening import DONE, Listener, Sent
from tests.workers.bench import Bench, Entry, call, calls, wait_until

LOCAL = {"host": "localhost"}

Listen = Callable[..., AbstractAsyncContextManager[Listener]]
Hear = Callable[..., Awaitable[list[Sent]]]
Back = Callable[..., Awaitable[list[Sent]]]

NOTE = call("memory_insert", label="notes", new_string="The office cat is called Miso.")
LOST = call("memory_insert", label="nowhere", new_string="x")
APPEND = call("core_memory_append", label="notes", content="It is Miso.", request_heartbeat=True)
BYE = call("send_message", message="Noted, and thank you very much for it.")

FIRST = calls(NOTE, text="Let me write that down first.", reasoning="What is this about, I wonder?")
V1_FIRST = [
    "reasoning: What is this about, I wonder?",
    "assistant: Let me write that down first.",
    'tool_call memory_insert {"label": "notes", "new_string": "The office cat is called Miso."}',
    "tool_return memory_insert success",
]
MEMGPT_FIRST = [
    "reasoning: I had better remember this one.",
    'tool_call core_memory_append {"label": "notes", "content": "It is Miso.", "request_heartbeat": true}',
    "tool_return core_memory_append success",
]
REMEMBER = calls(APPEND, text="I had better remember this one.")
ENDED = ["stop_reason end_turn", "usage_statistics", DONE]
FAILED = ["stop_reason llm_api_error", "event error: error llm_rate_limit", DONE]
STOPPED = ["stop_reason max_steps", "usage_statistics", DONE]


async def until_sent(bench: Bench, agent: Agent) -> None:
    async def ready() -> bool:
        return (await bench.state(agent)).get("status") == "ready"

    await wait_until("the message was sent", ready)


def slow(entry: Entry) -> Entry:
    """An answer whose pieces come one by one."""
    return entry | {"pace_ms": 50}


def listeners(service: Service) -> int:
    """How many wait for what runs say."""
    waiting = service.bell._waiters.get(key(WS, "output"), {})
    return sum(len(queues) for queues in waiting.values())


async def lost(*_: object, **fields: object) -> None:
    raise LeaseLost("agent")
