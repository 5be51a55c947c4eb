"""Shrinking as a record: what one bite out of the past took."""

from service.records.base import Record


class Bite(Record):
    """`done`: there is nothing more to take. `halvings`: by how much histories are kept shorter by now."""

    dropped: int
    done: bool
    halvings: int = 0
