"""Doctor: `blockwire doctor`: what the store holds, in bytes by kind, and what of it could be lost.

Elsewhere: how keys are counted (store/census.py); what a store is warned of when
a process starts (store/examine.py).
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from service.entry import one_line_errors, settings_or_exit
from service.figures import Figures
from service.logs import set_up_logs
from service.metrics.process import Metrics
from service.pressure import Filling, Pressure
from service.processes import require_store, store_for
from service.queue import PREFIXES, connect
from service.records.base import DEFAULT_POOL
from service.records.figures import PoolState
from service.settings import Settings
from service.store.census import Kind, census
from service.store.client import StoreClient
from service.store.examine import address_of, risks_of, unseen_failovers
from service.store.keys import SCHEMA_KEY
from service.store.queue import QueueStore
from service.workspaces import Workspaces

_WIDTH_ELSEWHERE = 120
_SYNCS = {
    "always": "every acknowledged write is on disk",
    "everysec": "a crash of the machine, or of the store on a slow disk, can take the last two seconds",
    "no": "a crash of the machine can take half a minute; set appendfsync everysec, or always",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `good` None is a fact without a judgement."""

    what: str
    found: str
    good: bool | None = None


async def examine_store(settings: Settings) -> tuple[list[Finding], list[Kind]]:
    """What could lose data, and what there is. Raises Invalid, StoreUnreachable."""
    require_store(settings)
    async with store_for(settings) as reachable:
        assert reachable.redis_url is not None
        store = StoreClient.connect(reachable.redis_url, connections=2)
        try:
            told = await store.info()
            where = address_of(reachable.redis_url)
            findings = _findings(
                told,
                schema=await store.get(SCHEMA_KEY),
                workspaces=await Workspaces(store).all(),
                sync=await store.setting("appendfsync"),
                filling=await Pressure(store, settings).measure(),
            )
            unseen = [
                Finding("risk", f"{risk.what}; {risk.remedy}", good=False) for risk in unseen_failovers(told)
            ]
            findings += [*unseen, *await _pools(reachable, store)]
            return [Finding("store", where), *findings], await census(store)
        finally:
            await store.close()


async def _pools(settings: Settings, store: StoreClient) -> list[Finding]:
    """Who works, and who waits for whom."""
    queue = await connect(settings)
    try:
        pools = await Figures(store, QueueStore(queue, PREFIXES), Metrics()).pools()
    finally:
        await queue.aclose()
    return [Finding(f"pool {pool.pool}", _state_of(pool)) for pool in pools]


def _state_of(pool: PoolState) -> str:
    waiting = (
        f"{pool.waiting} wait, the first for {pool.lag_ms / 1000:.0f} s" if pool.waiting else "nobody waits"
    )
    if pool.workers:
        return f"{pool.workers} at work with {pool.slots} slots, {pool.busy} taken; {waiting}"
    start = "blockwire worker" if pool.pool == DEFAULT_POOL else f"blockwire worker --pool {pool.pool}"
    return f"no worker reports, start one with `{start}`; {waiting}"


def _findings(
    told: Mapping[str, Any],
    *,
    schema: str | None,
    workspaces: list[str],
    sync: str | None,
    filling: Filling,
) -> list[Finding]:
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = told.get(f"{name.lower()}_version", "unknown")
    found = [
        Finding("server", f"{name} {version}, {told.get('redis_mode', 'standalone')}"),
        Finding("schema", schema or "none yet: nothing has been written here"),
        Finding("workspaces", ", ".join(workspaces) or "none"),
        _memory(filling),
    ]
    if not told:
        return [Finding("server", "it does not tell (INFO)"), *found[1:]]
    risks = risks_of(told)
    found += [Finding("risk", f"{risk.what}; set {risk.remedy}", good=False) for risk in risks]
    if not any("appendonly" in risk.remedy for risk in risks) and sync in _SYNCS:
        found.append(Finding("on disk", f"appendfsync {sync}: {_SYNCS[sync]}", good=sync != "no"))
    if told.get("aof_last_write_status", "ok") != "ok" or told.get("rdb_last_bgsave_status", "ok") != "ok":
        found.append(
            Finding("risk", "its last write to disk failed; look at its log and its disk", good=False)
        )
    replicas = int(told.get("connected_slaves", 0))
    found.append(Finding("replicas", str(replicas) if replicas else "none: this machine holds the only copy"))
    return found


def _memory(filling: Filling) -> Finding:
    """How full the store is, and what is given up for it at the moment."""
    if not filling.used:
        return Finding(
            "memory", "the store does not tell; what it refuses is taken for the sign that it is full"
        )
    if not filling.bound:
        return Finding(
            "memory",
            f"{size(filling.used)}, without a bound: nothing is given up before the machine itself is full; "
            "set maxmemory or BLOCKWIRE_MAX_MEMORY_MB",
        )
    text = f"{size(filling.used)} of {size(filling.bound)} ({filling.share:.0%})"
    if filling.refuses:
        return Finding("memory", f"{text}: histories shrink, new messages and agents are refused", good=False)
    if filling.shrinks:
        return Finding("memory", f"{text}: histories shrink", good=False)
    return Finding("memory", text, good=True)


def show(console: Console, findings: list[Finding], kinds: list[Kind]) -> None:
    about = Table.grid(padding=(0, 2))
    for finding in findings:
        mark = {True: "✓", False: "✗", None: " "}[finding.good]
        colour = {True: "green", False: "bold red", None: ""}[finding.good]
        about.add_row(mark, f"[dim]{finding.what}[/]", finding.found, style=colour)
    console.print(about)
    console.print()
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("keys of", no_wrap=True)
    for name in ("number", "bytes", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("end", style="dim")
    whole = sum(kind.bytes for kind in kinds)
    for kind in kinds:
        about_bytes = f"{'~' if kind.estimated else ''}{size(kind.bytes)}"
        share = f"{kind.bytes / whole:.0%}" if whole else ""
        table.add_row(kind.pattern.replace("[", r"\["), f"{kind.keys:,}", about_bytes, share, kind.ends)
    table.add_section()
    table.add_row("all", f"{sum(kind.keys for kind in kinds):,}", size(whole), "", "")
    console.print(table)


def as_json(findings: list[Finding], kinds: list[Kind]) -> str:
    return json.dumps(
        {
            "findings": [vars(finding) for finding in findings],
            "keys": [
                {
                    "pattern": kind.pattern,
                    "keys": kind.keys,
                    "bytes": kind.bytes,
                    "estimated": kind.estimated,
                    "ends": kind.ends,
                }
                for kind in kinds
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def size(count: int) -> str:
    """A number of bytes as people say it."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def main() -> None:
    settings = settings_or_exit().model_copy(update={"log_level": "error"})
    set_up_logs(settings, "doctor")
    with one_line_errors():
        findings, kinds = asyncio.run(examine_store(settings))
    console = Console(highlight=False, emoji=False)
    if "json" in sys.argv[1:]:
        sys.stdout.write(as_json(findings, kinds) + "\n")
    else:
        if not console.is_terminal:
            console.width = _WIDTH_ELSEWHERE
        show(console, findings, kinds)
    if any(finding.good is False for finding in findings):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
