"""Records: what the nouns of Blockwire look like, frozen, and nothing they do.

Everything that crosses a room's door is one of these; a file per noun. Times are
whole microseconds since the epoch on the store's clock (`Micros`); durations end
in `_ns`. Texts are counted in characters (code points), never in bytes.

Elsewhere: how V1 clients see them (service/http/schemas); how Redis keeps them
(service/store).
"""
