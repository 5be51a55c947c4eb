"""Metrics: what this process has done, counted where it is done, for whoever watches it.

Every label has a bounded number of values: routes and not paths, operations and not
blocks; of what others name (models, tools) the first so many, and `other`.
"""

from service.metrics.series import OTHER, Counter, Timer
from service.metrics.vitals import vitals
from service.records.figures import Family
from service.records.runs import StopReason, Usage, status_of

NAMED_MOST = 50
"""Models, or tools, that are told apart."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SHORT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """All that one process counts."""

    def __init__(self) -> None:
        self.requests = Counter(
            "blockwire_http_requests_total", "Requests answered", "method", "route", "status"
        )
        self.request_seconds = Timer(
            "blockwire_http_request_seconds",
            "From a request's arrival to the last byte of its answer; streams are not among them",
            "method",
            "route",
            bounds=LONG_S,
        )
        self.streams = Counter("blockwire_http_streams", "Streams that are open", "route", gauge=True)
        self.store_seconds = Timer(
            "blockwire_store_seconds",
            "Commands to the store, waiting for a line to it included",
            bounds=SHORT_S,
        )
        self.store_errors = Counter(
            "blockwire_store_errors_total", "Commands that the store refused or did not answer", "error"
        )
        self.edits = Counter(
            "blockwire_edits_total",
            "Edits of blocks: applied, unchanged, repeated, conflict, refused, fenced or failed",
            "operation",
            "outcome",
        )
        self.messages = Counter("blockwire_messages_total", "Messages put into inboxes", "kind")
        self.steps = Counter("blockwire_steps_total", "Steps stored", "status")
        self.runs = Counter("blockwire_runs_ended_total", "Runs that workers ended", "status", "stop_reason")
        self.dead_letters = Counter(
            "blockwire_dead_letters_total", "Runs given up because they kept losing their workers"
        )
        self.model_calls = Counter(
            "blockwire_model_calls_total",
            "Calls of models; the outcome is ok or the kind of failure",
            "provider",
            "model",
            "outcome",
            most=8 * NAMED_MOST,
        )
        self.model_seconds = Timer(
            "blockwire_model_call_seconds",
            "How long calls of models took",
            "provider",
            "model",
            bounds=LONG_S,
            most=NAMED_MOST,
        )
        self.tokens = Counter(
            "blockwire_model_tokens_total",
            "Tokens that models counted; cached ones are prompt tokens too",
            "provider",
            "model",
            "kind",
            most=3 * NAMED_MOST,
        )
        self.tool_calls = Counter(
            "blockwire_tool_calls_total",
            "Tool calls; people's own are `custom`",
            "tool",
            "outcome",
            most=2 * NAMED_MOST,
        )
        self.wakeups = Counter(
            "blockwire_wakeups_total",
            "Wake-ups recorded (they join one that waits), begun (an agent is told of all of them), cut",
            "outcome",
        )
        self.wakeup_changes = Counter(
            "blockwire_wakeup_changes_total",
            "Changes that wake-ups tell of, or that were held back",
            "outcome",
        )
        self.deliveries = Counter(
            "blockwire_webhook_deliveries_total",
            "Tries to deliver to webhooks: delivered, again (tried later), dead, failed (pings), gone, lost",
            "outcome",
        )
        self.delivered_changes = Counter(
            "blockwire_webhook_changes_total", "Changes that webhooks were told of"
        )
        self.webhooks_paused = Counter(
            "blockwire_webhooks_paused_total", "Webhooks that are sent nothing more until resumed", "reason"
        )
        self.swept = Counter(
            "blockwire_agents_requeued_total",
            "Agents that the sweeper found: lost ones have no worker any more, waiting ones no job; "
            "overdue ones are not queued, but given the answer that nobody gave",
            "reason",
        )
        self.leases_lost = Counter("blockwire_leases_lost_total", "Leases this process lost while it worked")
        self._all = [one for one in vars(self).values() if isinstance(one, Counter | Timer)]

    def families(self) -> list[Family]:
        """Everything as it is now, with what the process takes of its machine."""
        return [*vitals(), *(one.family() for one in self._all)]

    def answered(self, method: str, route: str | None, status: int, seconds: float, streamed: bool) -> None:
        """One request, once its answer is out. An unknown path is one route."""
        method = method if method in METHODS else OTHER
        route = route or "unknown"
        self.requests.add(method, route, str(status))
        if not streamed:
            self.request_seconds.note(seconds, method, route)

    def asked_store(self, seconds: float, error: str | None = None) -> None:
        """One command to the store."""
        self.store_seconds.note(seconds)
        if error is not None:
            self.store_errors.add(error)

    def run_ended(self, stop_reason: StopReason) -> None:
        self.runs.add(status_of(stop_reason), stop_reason)

    def model_called(
        self, provider: str, model: str, seconds: float, outcome: str, usage: Usage | None = None
    ) -> None:
        """One call of a model; without usage where it gave no answer."""
        self.model_calls.add(provider, model, outcome)
        self.model_seconds.note(seconds, provider, model)
        if usage is not None:
            self.tokens.add(provider, model, "prompt", by=usage.prompt_tokens)
            self.tokens.add(provider, model, "completion", by=usage.completion_tokens)
            self.tokens.add(provider, model, "cached", by=usage.cached_input_tokens)
