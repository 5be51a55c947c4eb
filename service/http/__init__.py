"""The HTTP API: the archived Letta V1 REST API, and what Blockwire adds to it.

The only folder that knows a web framework. A handler parses, calls one room and
renders; what a request and an answer look like is in schemas/. One table per
noun lists its routes (`ROUTES`); app.py gathers them, and both the server and
the OpenAPI document are made from that gathering.
"""
