"""Shown: response models that are made of records, whose values were checked when the records were."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel


class Shown(BaseModel):
    """An answer. Made by `of` it is not validated a second time, which is most of what making it costs."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The answer with these values, of the types its fields have; each has to be there, others may be.

        This is `model_construct` without its questions: no aliases, no defaults, nothing private.
        """
        made = cls.__new__(cls)
        fields = cls.__pydantic_fields__
        object.__setattr__(made, "__dict__", {name: values[name] for name in fields})
        object.__setattr__(made, "__pydantic_fields_set__", set(fields))
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made
