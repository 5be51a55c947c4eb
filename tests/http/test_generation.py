"""V1's rule for telling SDKs of 1.x from everybody else."""

import pytest

from service.http.generation import is_legacy


@pytest.mark.parametrize(
    "headers",
    [
        {b"user-agent": b"Letta/Python 1.12.1", b"x-stainless-package-version": b"1.12.1"},
        {b"user-agent": b"curl/8", b"x-stainless-package-version": b"1.0.0"},
        {},
        {b"user-agent": b""},
        {b"user-agent": b"letta-client/1.0.0"},
        {b"user-agent": b"@letta-ai/letta-client/2.3.4"},
    ],
)
def test_sdks_of_1_x_and_callers_without_a_user_agent_are_modern(headers: dict[bytes, bytes]) -> None:
    assert not is_legacy(headers)


@pytest.mark.parametrize(
    "agent",
    [
        b"letta-client/0.1.324",
        b"@letta-ai/letta-client/0.0.68665",
        b"curl/8.5",
        b"python-requests/2",
        b"Letta/Python 1.12.1",
    ],
)
def test_old_sdks_and_everybody_else_are_legacy(agent: bytes) -> None:
    assert is_legacy({b"user-agent": agent})
