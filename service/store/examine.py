"""Examine: whether a store that was given by URL answers and is fit for use, before anything is built on it.

What ends a process names the variable to correct, and the address without its
password; what only puts blocks at risk is a warning. A server that does not
tell its version (managed ones may hide INFO) is taken as it is, with the
warning that a failover of it would pass unseen.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog

from service.errors import Invalid, StoreUnreachable
from service.store.client import StoreClient
from service.store.connections import is_via_sentinels, pool_of

log = structlog.get_logger()

_ANSWER_S = 5.0
_TCP = ("redis", "rediss")
_DATABASE = re.compile(r"(/\d+)?")
_LEAST = {"Redis": 7, "Valkey": 8}


async def examine(variable: str, url: str) -> None:
    """Raises Invalid for a URL or server that will not do, StoreUnreachable for one that does not answer."""
    told = await _ask(variable, url)
    _check_version(variable, url, told)
    _warn_of_risks(variable, url, told)
    for risk in unseen_failovers(told):
        log.warning(
            "store.risky", variable=variable, where=address_of(url), risk=risk.what, remedy=risk.remedy
        )


async def reach(variable: str, url: str) -> None:
    """Like `examine`, for a store that carries jobs only: those that it loses are queued again."""
    _check_version(variable, url, await _ask(variable, url))


def address_of(url: str) -> str:
    """The URL without user, password and options, to be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_url(variable: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path:
            return
        if parts.scheme in _TCP and parts.hostname and parts.port != 0 and _DATABASE.fullmatch(parts.path):
            return
        if is_via_sentinels(url):
            pool_of(url, connections=1)
            return
    except ValueError:
        pass
    raise Invalid(
        variable,
        "must look like redis://localhost:6379/0, rediss://… for TLS, unix:///path/of/socket, or "
        "redis+sentinel://host:26379,host:26379/service/0",
    )


async def _ask(variable: str, url: str) -> Mapping[str, Any]:
    """What the server tells of itself; {} if it answers but does not tell."""
    check_url(variable, url)
    try:
        store = StoreClient.connect(url, connections=1)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await store.ping()
                return await store.info()
        finally:
            await store.close()
    except TimeoutError:
        raise _unreachable(variable, url, f"no answer within {_ANSWER_S:g} s") from None
    except StoreUnreachable as error:
        raise _unreachable(variable, url, str(error.__cause__).rstrip(".")) from error
    except (ValueError, TypeError) as error:  # redis-py's two ways to refuse an option
        raise Invalid(variable, f"what follows the ? cannot be used ({error}); correct or drop it") from None


def _unreachable(variable: str, url: str, reason: str) -> StoreUnreachable:
    return StoreUnreachable(
        f"the store at {address_of(url)} does not answer ({reason}); start it, or correct {variable}"
    )


def _check_version(variable: str, url: str, told: Mapping[str, Any]) -> None:
    # Valkey also tells the version of Redis that it stands in for.
    name = "Valkey" if "valkey_version" in told or told.get("server_name") == "valkey" else "Redis"
    version = str(told.get(f"{name.lower()}_version", ""))
    found = re.match(r"\d+", version)
    if found is not None and int(found[0]) < _LEAST[name]:
        raise Invalid(
            variable,
            f"the store at {address_of(url)} is {name} {version}, which is too old; "
            "use Redis 7 or newer, or Valkey 8 or newer",
        )


@dataclass(frozen=True)
class Risk:
    """What of a store's configuration puts blocks at risk, and the line that would cure it."""

    what: str
    remedy: str


def risks_of(told: Mapping[str, Any]) -> list[Risk]:
    """What could lose data, from what a server tells of itself (INFO)."""
    found = []
    policy = told.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        what = f"it throws blocks away when its memory is full (maxmemory-policy {policy})"
        found.append(Risk(what, "maxmemory-policy noeviction"))
    if str(told.get("aof_enabled", 1)) == "0":
        what = "it forgets acknowledged edits when it is killed (appendonly no)"
        found.append(Risk(what, "appendonly yes"))
    return found


def unseen_failovers(told: Mapping[str, Any]) -> list[Risk]:
    """What goes wrong where scripts cannot tell a promoted server from the one before (lua/lineage.lua)."""
    if told.get("master_replid"):
        return []
    what = (
        "a failover, or a start from an older copy, would pass unseen, for the server does not tell its "
        "replication id (INFO replication): a worker of before could go on writing, a follower miss changes"
    )
    return [Risk(what, "let this user call INFO (ACL SETUSER <user> +info)")]


def _warn_of_risks(variable: str, url: str, told: Mapping[str, Any]) -> None:
    if risks := risks_of(told):
        log.warning(
            "store.risky",
            variable=variable,
            where=address_of(url),
            risk="; ".join(risk.what for risk in risks),
            remedy=f"set {' and '.join(risk.remedy for risk in risks)} in the server's configuration",
        )
