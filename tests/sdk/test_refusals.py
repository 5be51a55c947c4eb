"""What cannot be done, through each SDK: its own error class for the status, with words that help."""

import pytest

from tests.sdk.drivers import Told

pytestmark = pytest.mark.slow

UNKNOWN = "00000000-0000-4000-8000-00000000abcd"


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("unknown_block", f"block-{UNKNOWN}"),
        ("unknown_block_changed", f"block-{UNKNOWN}"),
        ("unknown_block_deleted", f"block-{UNKNOWN}"),
        ("unknown_agent", f"agent-{UNKNOWN}"),
        ("unknown_agent_changed", f"agent-{UNKNOWN}"),
        ("unknown_agent_deleted", f"agent-{UNKNOWN}"),
        ("unknown_agent_told", f"agent-{UNKNOWN}"),
        ("unknown_agent_listed", f"agent-{UNKNOWN}"),
        ("unknown_agent_blocks", f"agent-{UNKNOWN}"),
        ("unknown_attached", f"block-{UNKNOWN}"),
        ("unknown_run", f"run-{UNKNOWN}"),
        ("unknown_label", "nowhere"),
        ("not_attached", "not attached"),
        ("unknown_model", "nobody/knows"),
    ],
)
def test_what_is_not_there_is_not_found(told: Told, act: str, said: str) -> None:
    told.check_refused(told.scene("refusals")[act], 404, said)


@pytest.mark.parametrize(
    ("act", "said"),
    [("malformed_id", "block_id"), ("malformed_field", "block_ids"), ("no_messages", "message")],
)
def test_what_cannot_be_read_is_unprocessable(told: Told, act: str, said: str) -> None:
    told.check_refused(told.scene("refusals")[act], 422, said)


def test_a_handle_that_is_none_is_a_bad_request(told: Told) -> None:
    told.check_refused(told.scene("refusals")["bad_handle"], 400, "INVALID_ARGUMENT", "nothing")
