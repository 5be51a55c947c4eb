"""Runs on the wire: V1's Run and the reply to a blocking send."""

from service.http.schemas.runs import letta_response, run_response
from service.records.runs import Run, RunError, RunOptions, Usage

V1_FIELDS = (
    "id status created_at completed_at agent_id conversation_id base_template_id background metadata "
    "request_config stop_reason callback_url callback_sent_at callback_status_code callback_error ttft_ns "
    "total_duration_ns"
).split()
USAGE_FIELDS = (
    "message_type completion_tokens prompt_tokens total_tokens step_count run_ids cached_input_tokens "
    "cache_write_tokens reasoning_tokens context_tokens"
).split()
AT = 1_769_839_410_000_000
RUN = Run(
    id="run-1",
    agent_id="agent-1",
    kind="send_message_async",
    background=True,
    options=RunOptions(use_assistant_message=False, max_steps=3),
    metadata={"k": 1},
    created_at=AT,
)


def test_a_run_has_every_field_of_v1() -> None:
    shown = run_response(RUN).model_dump()
    assert set(shown) == set(V1_FIELDS)
    assert shown["metadata"] == {"k": 1, "run_type": "send_message_async"}
    assert shown["request_config"] == {
        "use_assistant_message": False,
        "assistant_message_tool_name": "send_message",
        "assistant_message_tool_kwarg": "message",
        "include_return_message_types": None,
    }
    assert (shown["status"], shown["completed_at"], shown["total_duration_ns"]) == ("created", None, None)


def test_a_run_that_failed_says_when_and_why() -> None:
    error = RunError(type="llm_timeout", message="no answer")
    ended = RUN.model_copy(
        update={"status": "failed", "stop_reason": "llm_api_error", "completed_at": AT + 7, "error": error}
    )
    shown = run_response(ended).model_dump()
    assert (shown["completed_at"], shown["total_duration_ns"]) == ("2026-01-31T06:03:30.000007Z", 7000)
    assert shown["metadata"]["error"] == {"type": "llm_timeout", "message": "no answer", "detail": None}


def test_a_reply_has_its_stop_reason_and_the_sums_of_its_usage() -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=4, cached_input_tokens=3)
    run = RUN.model_copy(
        update={"stop_reason": "end_turn", "usage": usage, "step_count": 2, "context_tokens": 9}
    )
    shown = letta_response(run, []).model_dump()
    assert set(shown) == {"messages", "stop_reason", "usage", "logprobs", "turns"}
    assert shown["stop_reason"] == {"message_type": "stop_reason", "stop_reason": "end_turn"}
    assert set(shown["usage"]) == set(USAGE_FIELDS)
    assert (shown["usage"]["total_tokens"], shown["usage"]["step_count"]) == (14, 2)
    assert (shown["usage"]["cached_input_tokens"], shown["usage"]["context_tokens"]) == (3, 9)


def test_a_reply_of_a_run_without_a_stop_reason_says_error() -> None:
    assert letta_response(RUN, []).stop_reason.stop_reason == "error"
