"""Ids: shaped as uuid4, random or always the same."""

from uuid import UUID

from service.records.ids import derived_id, new_id


def test_new_ids_are_uuid4_and_differ() -> None:
    made = {new_id("run") for _ in range(500)}
    assert len(made) == 500
    for id in made:
        prefix, _, rest = id.partition("-")
        assert prefix == "run"
        assert (UUID(rest).version, str(UUID(rest))) == (4, rest)
        assert UUID(rest).variant == "specified in RFC 4122"


def test_a_derived_id_is_always_the_same() -> None:
    """It stands in stores that older versions wrote."""
    assert derived_id("block", "run-1", 0, 2) == "block-bb6a4d28-f352-43bc-bbd3-4e73632138f3"
    assert derived_id("block", "run-1", 0, 2) != derived_id("block", "run-1", 0, 3)
