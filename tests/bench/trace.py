"""Trace: the commands that one message costs, one after the other, from its send to the end of its run.

python -m tests.bench.trace [messages | messages/async]

For whoever looks for round trips to save. Commands of one pipeline or transaction come at one time.
"""

import asyncio
import json
import sys
from importlib import resources

from rich.console import Console

from service.logs import set_up_logs
from service.settings import Settings
from service.store.scripts import load
from tests.bench.answers import SEND
from tests.bench.load import Connection, request
from tests.bench.machine import Machine, machine
from tests.bench.watching import Commands, commands

_WARM = 5
_REST_S = 0.3
"""After an answer its worker is still about to end the job."""


async def traced(machine: Machine, route: str) -> Commands:
    agent = await machine.agent()
    send = request("POST", f"/v1/agents/{agent.id}/{route}", json.dumps(SEND).encode())
    async with machine.web() as web:
        with machine.worker():
            connection = await Connection.open(web.port)
            for _ in range(_WARM):
                await connection.ask(send)
                await asyncio.sleep(_REST_S)
            async with commands(machine.socket) as heard:
                await connection.ask(send)
                await asyncio.sleep(_REST_S)
            connection.close()
    return heard


def show(console: Console, heard: Commands) -> None:
    names = {load(name).sha: f"{name}.lua" for name in _scripts()}
    for words, at in zip(heard.seen, heard.at, strict=True):
        first = words[1].decode() if len(words) > 1 else ""
        ms = (at - heard.at[0]) * 1e3
        console.print(f"{ms:8.1f} ms  {words[0].decode().upper():16} {names.get(first, first)}", markup=False)


def _scripts() -> list[str]:
    files = resources.files("service.store").joinpath("lua").iterdir()
    return [file.name.removesuffix(".lua") for file in files if file.name.endswith(".lua")]


async def main() -> None:
    set_up_logs(Settings(log_level="error"), "bench")
    async with machine() as ours:
        show(Console(highlight=False, soft_wrap=True), await traced(ours, (sys.argv[1:] or ["messages"])[0]))


if __name__ == "__main__":
    asyncio.run(main())
