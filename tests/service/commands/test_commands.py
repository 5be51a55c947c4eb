"""The commands that ask a server: lists, the live feed, a message; on a server made of prepared answers."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from rich.console import Console

from service.client import Client, Refused
from service.commands import lists, send, terminal, watch
from service.commands.lists import show
from service.commands.terminal import ago, clean
from service.commands.watch import SHOWN_LINES, Watch, told
from service.entry import WONT_WORK
from service.errors import Invalid
from service.settings import Settings

pytestmark = pytest.mark.anyio
Answer = Callable[[httpx2.Request], httpx2.Response]
AT = "2026-01-31T05:59:26.811268Z"


def a_client(answer: Answer) -> Client:
    return Client("http://127.0.0.1:1", "secret", transport=httpx2.MockTransport(answer))


def a_console() -> Console:
    return Console(file=io.StringIO(), width=160, highlight=False, markup=False, emoji=False)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def block(**more: Any) -> dict[str, Any]:
    common = {"id": "block-1", "label": "notes", "version": 3, "limit": 100_000, "updated_at": AT}
    return {**common, "value": "first line\nsecond \x1b[31mline", **more}


ID = "agent-123e4567-e89b-42d3-8456-426614174000"
AGENT_ID = "agent-11111111-1111-4111-8111-111111111111"
AGENT = {
    "id": "agent-1",
    "name": "reader",
    "model": "offline/extractive",
    "last_stop_reason": None,
    "last_run_completion": None,
    "memory": {"blocks": [{"label": "persona"}, {"label": "notes"}]},
}
RUN = {
    "id": "run-1",
    "agent_id": "agent-1",
    "status": "failed",
    "stop_reason": "llm_api_error",
    "created_at": AT,
    "total_duration_ns": 1_500_000_000,
}


class TestLists:
    @pytest.mark.parametrize(
        ("noun", "row", "words"),
        [
            ("blocks", block(), ["block-1", "notes", "27 of 100,000", "first line second [31mline"]),
            ("agents", AGENT, ["agent-1", "reader", "offline/extractive", "none yet", "notes, persona"]),
            ("runs", RUN, ["run-1", "agent-1", "failed", "llm_api_error", "1.5 s"]),
            (
                "runs",
                RUN | {"status": "running", "stop_reason": None, "total_duration_ns": None},
                ["running"],
            ),
        ],
    )
    async def test_a_row_says_what_one_looks_for(
        self, noun: str, row: dict[str, Any], words: list[str]
    ) -> None:
        console = a_console()
        client = a_client(lambda request: httpx2.Response(200, json=[row]))
        await show(client, console, noun, 50, {}, plain=False)
        text = written(console)
        assert all(word in text for word in words), text
        assert "more with --limit" not in text

    async def test_filters_and_the_key_are_sent(self) -> None:
        asked: list[httpx2.Request] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            return httpx2.Response(200, json=[])

        console = a_console()
        await show(a_client(answer), console, "agents", 7, {"name": "reader"}, plain=False)
        [request] = asked
        assert request.url.path == "/v1/agents/"
        assert request.url.params.multi_items() == [
            ("limit", "7"),
            ("include_relationships", "memory"),
            ("include_relationships", "tags"),
            ("name", "reader"),
        ]
        assert request.headers["authorization"] == "Bearer secret"
        assert written(console).strip() == "no agents"

    async def test_a_paused_agent_is_marked(self) -> None:
        console = a_console()
        rows = [AGENT | {"paused_at": datetime.now(UTC).isoformat()}, AGENT | {"paused_at": None}]
        client = a_client(lambda request: httpx2.Response(200, json=rows))
        await show(client, console, "agents", 50, {}, plain=False)
        shown = written(console)
        assert "paused" in shown.splitlines()[0] + shown.splitlines()[1]
        assert shown.count("0 s ago") == 1

    async def test_runs_are_asked_for_by_an_agents_name_too(self) -> None:
        asked: list[httpx2.Request] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            asked.append(request)
            return httpx2.Response(200, json=[{"id": ID}] if request.url.path == "/v1/agents/" else [RUN])

        for who in ("reader", ID):
            await show(a_client(answer), a_console(), "runs", 5, {"agent": who}, plain=False)
        assert [request.url.path for request in asked] == ["/v1/agents/", "/v1/runs/", "/v1/runs/"]
        assert [request.url.params.get("agent_id") for request in asked] == [None, ID, ID]

    async def test_a_full_page_says_that_there_is_more(self) -> None:
        console = a_console()
        client = a_client(lambda request: httpx2.Response(200, json=[RUN, RUN]))
        await show(client, console, "runs", 2, {}, plain=False)
        assert "the newest 2; more with --limit" in written(console)

    async def test_programs_get_a_json_text_per_row(self, capsys: pytest.CaptureFixture[str]) -> None:
        client = a_client(lambda request: httpx2.Response(200, json=[RUN, AGENT]))
        await show(client, a_console(), "runs", 2, {}, plain=True)
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [RUN, AGENT]


def change(n: int = 1, **more: Any) -> dict[str, Any]:
    common = {"id": f"1-{n}", "block_id": "block-1", "label": "notes", "version": n, "kind": "edited"}
    said = {"operation": "append", "at": AT, "chars": 12, "author": {"name": "api"}, "cut": False}
    return {**common, **said, "added": "new\n", "removed": "", **more}


def feed(*changes: dict[str, Any], resync: bool = False) -> bytes:
    text = ": still here\nid: 1-0\n\n"
    text += "id: 1-0\nevent: resync\ndata: {}\n\n" if resync else ""
    for one in changes:
        text += f"id: {one['id']}\nevent: change\ndata: {json.dumps(one)}\n\n"
    return text.encode()


class TestWatch:
    def test_a_change_shows_who_did_what_and_both_texts(self) -> None:
        shown = told(change(removed="old", added="new\nlines", operation="replace"), "reader").plain
        first, *rest = shown.split("\n")
        assert "reader replaced in notes v1  12 characters  block-1" in first
        assert [line.strip() for line in rest] == ["- old", "+ new", "+ lines"]

    def test_long_texts_are_cut(self) -> None:
        many = "\n".join(str(number) for number in range(SHOWN_LINES + 5))
        assert told(change(added=many), "api").plain.endswith(f"+ {SHOWN_LINES - 1}\n{'':14}+ …")
        assert told(change(added="a", cut=True), "api").plain.endswith("+ …")

    def test_what_is_no_edit_is_told_by_its_kind(self) -> None:
        shown = told(change(operation="attach", kind="attached", added=""), "api").plain
        assert "api attached notes" in shown
        assert "\n" not in shown

    async def test_it_goes_on_where_it_was_cut_until_it_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watch, "_FIRST_PAUSE_S", 0)
        monkeypatch.setattr(watch, "_LONGEST_PAUSE_S", 0)
        begins: list[str | None] = []
        by_agent = {"name": "x", "agent_id": "agent-1"}

        def answer(request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/v1/agents/agent-1":
                return httpx2.Response(200, json={"name": "reader"})
            begins.append(request.headers.get("last-event-id"))
            match len(begins):
                case 1:
                    return httpx2.Response(
                        200, content=feed(change(1), change(2, author=by_agent), resync=True)
                    )
                case 2:
                    return httpx2.Response(503, json={"detail": "starting"})
                case 3:
                    return httpx2.Response(200, content=feed(change(3, author=by_agent)))
            return httpx2.Response(401, json={"detail": "Unauthorized"})

        console, events = a_console(), []
        watching = Watch(a_client(answer), console, {"label": "notes"}, plain=False)
        with pytest.raises(Refused, match="the token in BLOCKWIRE_TOKEN is not valid"):
            await watching.follow(lambda: events.append(1))
        assert begins == [None, "1-2", "1-2", "1-3"]
        text = written(console)
        assert text.count("reader appended to notes") == 2
        assert "are no longer kept" in text
        assert "answered with 503: starting; trying again" in text

    @pytest.mark.parametrize("agent", [AGENT_ID, "reader"])
    async def test_one_agents_changes_are_asked_for_by_id_or_name(
        self, agent: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked: list[httpx2.Request] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            match request.url.path:
                case path if path == f"/v1/agents/{AGENT_ID}":
                    return httpx2.Response(200, json={"id": AGENT_ID, "name": "reader"})
                case "/v1/agents/":
                    assert request.url.params["name"] == "reader"
                    return httpx2.Response(200, json=[{"id": AGENT_ID, "name": "reader"}])
            asked.append(request)
            if len(asked) > 1:
                return httpx2.Response(401)
            return httpx2.Response(
                200,
                content=feed(change(2, author={"name": "x", "agent_id": AGENT_ID})),
            )

        watching = Watch(a_client(answer), a_console(), {"agent": agent}, plain=True)
        with pytest.raises(Refused):
            await watching.follow()
        assert asked[0].url.params.get_list("agent_id") == [AGENT_ID]
        assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["1-2"]

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"agent": "nobody"}, "--agent: no agent is named 'nobody'"),
            ({"block_id": "notes"}, "--block: 'notes' is no block's id"),
            ({"block_id": "block-1"}, "answered with 404: gone"),
            ({"agent": AGENT_ID}, "answered with 404: gone"),
        ],
    )
    async def test_what_is_not_there_is_said_at_once(self, asked: dict[str, str], words: str) -> None:
        def answer(request: httpx2.Request) -> httpx2.Response:
            lists = request.url.path == "/v1/agents/"
            return httpx2.Response(200, json=[]) if lists else httpx2.Response(404, json={"detail": "gone"})

        watching = Watch(a_client(answer), a_console(), asked, plain=True)
        with pytest.raises((Invalid, Refused), match=words):
            await watching.follow()

    async def test_a_person_is_told_from_when_on_nothing_is_missed(self) -> None:
        console = Console(file=io.StringIO(), width=90, force_terminal=True)
        answers = iter([httpx2.Response(200, content=feed(change())), httpx2.Response(401)])
        with pytest.raises(Refused):
            await Watch(a_client(lambda _: next(answers)), console, {}, plain=False).follow()
        assert written(console).count("listening; every edit is shown") == 1

    async def test_nobody_there_at_the_start_is_an_error(self) -> None:
        watching = Watch(Client("http://127.0.0.1:1"), a_console(), {}, plain=True)
        with pytest.raises(Refused, match=r"does not answer .*is `blockwire up` running"):
            await watching.follow()

    async def test_who_has_no_token_is_told_where_it_goes(self) -> None:
        client = Client("http://127.0.0.1:1", transport=httpx2.MockTransport(lambda _: httpx2.Response(401)))
        with pytest.raises(Refused, match="needs a token: set BLOCKWIRE_TOKEN"):
            await Watch(client, a_console(), {}, plain=True).follow()


def stream(*said: dict[str, Any]) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in said) + b"data: [DONE]\n\n"


SAID: list[dict[str, Any]] = [
    {"message_type": "ping", "id": "ping-1"},
    {"message_type": "reasoning_message", "id": "m1", "reasoning": "Let me "},
    {"message_type": "reasoning_message", "id": "m1", "reasoning": "see."},
    {
        "message_type": "tool_call_message",
        "id": "m1",
        "tool_call": {"name": "memory_insert", "tool_call_id": "c"},
    },
    {
        "message_type": "tool_call_message",
        "id": "m1",
        "tool_call": {"name": "memory_insert", "tool_call_id": "c", "arguments": '{"label": "notes"}'},
    },
    {"message_type": "tool_return_message", "id": "m2", "status": "success", "tool_return": "x" * 400},
    {"message_type": "assistant_message", "id": "m3", "content": [{"type": "text", "text": "Done"}]},
    {"message_type": "assistant_message", "id": "m3", "content": "."},
    {"message_type": "stop_reason", "stop_reason": "max_steps"},
    {"message_type": "usage_statistics"},
]


CALLS = [{"name": "rm", "arguments": "{}", "tool_call_id": "call-1"}]


class TestSend:
    def _answer(self, body: bytes) -> Answer:
        def answer(request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/v1/agents/":
                return httpx2.Response(200, json=[{"id": "agent-7"}])
            if request.method == "GET":
                return httpx2.Response(200, json={"id": "agent-7", "pending_approval": None})
            sent = json.loads(request.content)
            assert sent["messages"] == [{"role": "user", "content": "Hello"}]
            if request.url.path == "/v1/agents/agent-7/messages/async":
                return httpx2.Response(200, json={"id": "run-1"})
            assert (request.url.path, sent["stream_tokens"]) == ("/v1/agents/agent-7/messages/stream", True)
            return httpx2.Response(200, content=body)

        return answer

    async def test_the_answer_is_shown_piece_by_piece(self) -> None:
        console = a_console()
        client = a_client(self._answer(stream(*SAID)))
        await send.send(client, console, "reader", "Hello", wait=True, plain=False)
        lines = written(console).splitlines()
        assert lines[0] == "Let me see."
        assert lines[1] == 'memory_insert {"label": "notes"}'
        assert "".join(lines[2:-2]).strip() == "x" * 300 + " …"
        assert lines[-2:] == ["Done.", "stopped: max_steps"]

    async def test_programs_get_every_event(self, capsys: pytest.CaptureFixture[str]) -> None:
        client = a_client(self._answer(stream(*SAID)))
        await send.send(client, a_console(), "reader", "Hello", wait=True, plain=True)
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == SAID

    async def test_a_failing_run_is_an_error(self) -> None:
        failed = {"message_type": "error_message", "message": "no key", "detail": "set OPENAI_API_KEY"}
        client = a_client(self._answer(stream(failed)))
        with pytest.raises(Refused, match="no key set OPENAI_API_KEY"):
            await send.send(client, a_console(), "reader", "Hello", wait=True, plain=False)

    def _asking(self, asked: list[dict[str, Any]], sent: list[Any], answer: bytes) -> Client:
        """A server whose agent asks leave for calls. `answer`: what a send gives."""

        def respond(request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/v1/agents/":
                return httpx2.Response(200, json=[{"id": "agent-7"}])
            if request.method == "GET":
                pending = {"tool_calls": asked} if asked else None
                return httpx2.Response(200, json={"id": "agent-7", "pending_approval": pending})
            sent.append(json.loads(request.content)["messages"])
            return httpx2.Response(200, content=answer)

        return a_client(respond)

    async def test_a_call_that_leave_is_asked_for_is_named_and_how_to_answer(self) -> None:
        console = a_console()
        piece = {"message_type": "approval_request_message", "id": "message-1"}
        stop = {"message_type": "stop_reason", "stop_reason": "requires_approval"}
        body = stream(piece | {"tool_call": CALLS[0]}, stop)
        client = self._asking(CALLS, [], body)
        await send.send(client, console, "reader", "Hello", wait=True, plain=False)
        shown = written(console)
        assert "it asks to call rm {}" in shown
        assert 'answer with:  blockwire send reader --approve    or    --deny "why not"' in shown

    async def test_so_is_one_that_an_agent_is_waiting_with(self) -> None:
        console = a_console()
        refused = {"message_type": "error_message", "message": "the agent waits for an answer"}
        client = self._asking(CALLS, [], stream(refused))
        with pytest.raises(Refused, match="the agent waits for an answer"):
            await send.send(client, console, "reader", "Hello", wait=True, plain=False)
        assert "it asks to call rm {}" in written(console)

    @pytest.mark.parametrize(
        ("word", "text", "given"),
        [
            ("approve", "", [{"approve": True}]),
            ("approve", "Go.", [{"approve": True}, {"role": "user", "content": "Go."}]),
            ("deny", "", [{"approve": False}]),
            ("deny", "too late", [{"approve": False, "reason": "too late"}]),
        ],
    )
    async def test_leave_is_given_or_denied(self, word: str, text: str, given: list[dict[str, Any]]) -> None:
        sent: list[Any] = []
        client = self._asking(CALLS, sent, stream())
        await send.send(client, a_console(), "reader", text, wait=True, plain=False, word=word)
        first = {"type": "approval", "tool_call_id": "call-1"} | given[0]
        assert sent == [[{"type": "approval", "approvals": [first]}, *given[1:]]]

    @pytest.mark.parametrize(("word", "told"), [("", "TEXT: is missing"), ("approve", "asks for nothing")])
    async def test_nothing_to_say_is_refused(self, word: str, told: str) -> None:
        client = self._asking([], [], stream())
        with pytest.raises(Invalid, match=told):
            await send.send(client, a_console(), "reader", "", wait=True, plain=False, word=word)

    @pytest.mark.parametrize(("plain", "out"), [(True, '{"id": "run-1"}\n'), (False, "")])
    async def test_without_waiting_the_run_is_told(
        self, plain: bool, out: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        console = a_console()
        await send.send(a_client(self._answer(b"")), console, "reader", "Hello", wait=False, plain=plain)
        assert capsys.readouterr().out == out
        assert written(console) == ("" if plain else "run-1\n")

    @pytest.mark.parametrize(
        ("found", "words"), [([], "no agent is named"), ([{"id": "a"}] * 2, "several agents are")]
    )
    async def test_a_name_must_mean_one_agent(self, found: list[dict[str, str]], words: str) -> None:
        client = a_client(lambda request: httpx2.Response(200, json=found))
        with pytest.raises(Invalid, match=f"AGENT: {words}"):
            await send.send(client, a_console(), "reader", "Hello", wait=True, plain=False)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (None, ""),
        ("2026-01-31T06:00:00", "10 s ago"),
        ("2026-01-31T05:58:10Z", "2 min ago"),
        ("2026-01-31T03:00:10Z", "3 h ago"),
        ("2026-01-27T06:00:10Z", "4 d ago"),
        ("2026-01-31T06:00:50Z", "0 s ago"),
    ],
)
def test_times_are_said_as_people_say_them(at: str | None, words: str) -> None:
    assert ago(at, datetime(2026, 1, 31, 6, 0, 10, tzinfo=UTC)) == words


def test_nothing_that_is_shown_steers_the_terminal() -> None:
    assert clean("a\x1b[31mb\x07c\nd") == "a [31mb c\nd"


class TestTheProcess:
    async def _refuse(self) -> None:
        raise Invalid("AGENT", "no agent is named so")

    def test_what_is_refused_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            terminal.run(self._refuse())
        assert capsys.readouterr().err == "blockwire: AGENT: no agent is named so\n"

    @pytest.mark.parametrize(
        ("main", "argv"),
        [
            (lists.main, ["lists", "blocks", "5", "json", "label=notes"]),
            (watch.main, ["watch", "json", "label=notes"]),
            (send.main, ["send", "table", "wait", "reader", "Hello", ""]),
        ],
    )
    def test_each_command_runs(
        self,
        main: Callable[[], None],
        argv: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("sys.argv", argv)
        monkeypatch.setenv("BLOCKWIRE_URL", "http://127.0.0.1:1")
        monkeypatch.setattr(terminal, "cast", lambda _, stream: io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(SystemExit):
            main()
        assert "Blockwire at http://127.0.0.1:1 does not answer" in capsys.readouterr().err

    async def _wait(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    def test_ctrl_c_ends_it_without_a_traceback(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            terminal.run(self._wait())
        assert ended.value.code == 130
        assert capsys.readouterr().err == ""

    def test_a_reader_that_has_read_enough_ends_it_quietly(self) -> None:
        script = "from service.commands.terminal import *\nasync def f():\n  raise BrokenPipeError\nrun(f())"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("url", ["127.0.0.1:8391", "localhost:8391", "ftp://localhost:8391"])
def test_an_address_without_its_beginning_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setattr(terminal, "settings_or_exit", lambda: Settings(url=url))
    with pytest.raises(SystemExit) as ended:
        terminal.open_client()
    assert ended.value.code == WONT_WORK
    [line] = capsys.readouterr().err.splitlines()
    host = url.removeprefix("ftp://")
    assert line == (f"blockwire: --url: {url!r} does not begin with http:// or https://; write http://{host}")
