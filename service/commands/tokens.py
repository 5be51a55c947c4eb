"""The `blockwire token` command: makes, lists and revokes tokens, in any workspace of the store.

`python -m service.commands.tokens create WORKSPACE SCOPE NAME EXPIRES RATE`,
`… list [json]`, `… revoke ID`, started by cli.py; an empty word means that nothing
was said. Whoever may run it reaches the store itself and could read all of it:
no token is asked for. It works beside a running server, which learns of it at
once, and without one.

What a script wants (the secret, a list as JSON) goes to stdout, the rest to stderr.
"""

import asyncio
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import cast

from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.access import Tokens
from service.bootstrap import now, open_tokens
from service.entry import one_line_errors, settings_or_exit
from service.errors import Invalid
from service.logs import set_up_logs
from service.processes import require_store, store_for
from service.records.base import DEFAULT_WORKSPACE, Micros, iso
from service.records.tokens import Scope, Token
from service.settings import Settings
from service.store.examine import address_of

_LASTS = re.compile(r"([1-9][0-9]{0,5})([dhm])")
_WIDE = 300  # whoever reads from a pipe wants a token in one line
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_EXPIRES = "must be how long it lasts (30d, 12h, 45m) or its last day in UTC (2026-12-31)"


async def run(settings: Settings, words: Sequence[str]) -> None:
    act, *rest = words
    if act != "create":
        require_store(settings)
    async with store_for(settings) as reachable, open_tokens(reachable) as tokens:
        if act == "create":
            where = settings.data_dir if settings.redis_url is None else address_of(settings.redis_url)
            await _create(tokens, str(where), *rest)
        elif act == "list":
            _show(await tokens.find(), as_json=rest == ["json"])
        else:
            await _revoke(tokens, *rest)


async def _create(
    tokens: Tokens, where: str, workspace: str, scope: str, name: str, expires: str, rate: str
) -> None:
    first = not await tokens.exist()
    token, secret = await tokens.create(
        workspace,
        cast(Scope, scope),
        name=name,
        expires_at=expiry_of(expires, now()) if expires else None,
        rate=_rate_of(rate) if rate else None,
    )
    sys.stdout.write(f"{secret}\n")
    sys.stdout.flush()
    _say(
        f"{token.id} has the scope {token.scope} in workspace {workspace}{_until(token)}. The token is the "
        "line above; it is not shown again. Send it as `Authorization: Bearer …`, or give it to the SDK "
        "(api_key, token)."
    )
    if first:
        _say(f"It is the first one in {where}: from now on nobody comes in to its servers without a token.")
        if workspace != DEFAULT_WORKSPACE:
            remedy = f"`blockwire token create --workspace {DEFAULT_WORKSPACE} …` makes one that does"
            _say(
                f"What is from before is in workspace {DEFAULT_WORKSPACE}, which it does not reach; {remedy}."
            )


async def _revoke(tokens: Tokens, token_id: str) -> None:
    token = await tokens.revoke(token_id, even_last=True)
    _say(f"{token.id} ({token.name}, workspace {token.workspace}) is revoked.")
    if not await tokens.exist():
        _say(
            "No token is left: from now on everybody on the server's machine comes in without one, "
            "and with --insecure everybody who reaches it."
        )


def expiry_of(text: str, at: Micros) -> Micros:
    """`30d`, `12h`, `45m` from `at` on, or the end of a day (UTC). Raises Invalid."""
    begin = datetime.fromtimestamp(at / 1e6, UTC)
    try:
        if lasts := _LASTS.fullmatch(text):
            end = begin + timedelta(**{_UNITS[lasts[2]]: int(lasts[1])})
        else:
            end = datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise Invalid("--expires", _EXPIRES) from None
    if end <= begin:
        raise Invalid("--expires", f"{text} is over")
    return round(end.timestamp() * 1e6)


def _rate_of(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Invalid("--rate", "must be a whole number of requests per minute, or 0 for no limit")
    return int(text)


def _show(tokens: Sequence[Token], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(to_json([_told(token) for token in tokens], indent=2).decode() + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "name", "workspace", "scope", "ends with", "made", "runs out", "per minute"):
        table.add_column(title, overflow="fold", no_wrap=title in ("id", "scope", "ends with"))
    for token in tokens:
        table.add_row(*(Text(word) for word in _row(token)))
    width = None if sys.stdout.isatty() else _WIDE
    Console(width=width).print(table if tokens else "There are no tokens.")


def _row(token: Token) -> list[str]:
    over = " (over)" if token.has_run_out(now()) else ""
    expires = "never" if token.expires_at is None else iso(token.expires_at)[:16] + "Z" + over
    rate = "as set" if token.rate is None else str(token.rate or "no limit")
    made = iso(token.created_at)[:16] + "Z"
    name = "" if token.name == token.id else token.name
    return [token.id, name, token.workspace, token.scope, f"…{token.ends_with}", made, expires, rate]


def _told(token: Token) -> dict[str, object]:
    expires_at = None if token.expires_at is None else iso(token.expires_at)
    return {**vars(token), "created_at": iso(token.created_at), "expires_at": expires_at}


def _until(token: Token) -> str:
    return "" if token.expires_at is None else f" until {iso(token.expires_at)[:16]}Z"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    settings = settings_or_exit()
    level = "warning" if settings.log_level == "info" else settings.log_level
    set_up_logs(settings.model_copy(update={"log_level": level}), "token")
    with one_line_errors():
        asyncio.run(run(settings, sys.argv[1:]))


if __name__ == "__main__":
    main()
