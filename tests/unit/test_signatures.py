"""Signatures: as the Standard Webhooks specification has them, so that others' libraries verify ours."""

import base64

import pytest

from service.errors import Invalid
from service.signatures import check_secret, headers_of, new_secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_specifications_own_example_is_signed_as_it_says() -> None:
    headers = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [SECRET])
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_secret_signs_for_itself() -> None:
    old, new = new_secret(), new_secret()
    both = headers_of("delivery-1", 1, b"{}", [new, old])["webhook-signature"].split(" ")
    assert both == [headers_of("delivery-1", 1, b"{}", [one])["webhook-signature"] for one in (new, old)]
    assert both[0] != both[1]


@pytest.mark.parametrize("part", ["id", "time", "body"])
def test_nothing_that_is_signed_can_be_changed(part: str) -> None:
    def signed(id: str = "delivery-1", at: int = 1, body: bytes = b"{}") -> str:
        return headers_of(id, at, body, [SECRET])["webhook-signature"]

    other = {"id": signed(id="delivery-2"), "time": signed(at=2), "body": signed(body=b"[]")}
    assert other[part] != signed()


def test_a_new_secret_is_one_that_would_be_taken_and_never_the_same() -> None:
    made = {new_secret() for _ in range(20)}
    assert len(made) == 20
    for secret in made:
        check_secret(secret)


@pytest.mark.parametrize("bytes_", [24, 64])
def test_a_secret_of_ones_own_may_have_so_many_bytes(bytes_: int) -> None:
    check_secret("whsec_" + base64.b64encode(b"x" * bytes_).decode())


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_short",
        "whsec_" + "ä" * 40,
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
    ],
)
def test_what_no_library_would_take_is_refused(secret: str) -> None:
    with pytest.raises(Invalid, match=r"^secret: must be `whsec_` and 24 to 64 bytes in Base64"):
        check_secret(secret)
