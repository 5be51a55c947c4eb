"""Tags on the wire: what their list takes."""

from typing import Literal

from pydantic import Field

from service.http.paging import PageQuery
from service.http.schemas.bounds import Name
from service.records.base import IDS_AT_MOST


class TagListQuery(PageQuery):
    order: Literal["asc", "desc"] = Field(default="asc", description="`asc`: from a to z")
    order_by: Literal["name"] = "name"
    query_text: Name | None = Field(
        default=None,
        description=f"substring, case ignored; looks at {IDS_AT_MOST} names per request at the most",
    )
    name: Name | None = Field(default=None, description="exact")
