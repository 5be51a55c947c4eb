"""Commands: what people ask from a terminal.

Lists, the live feed and messages ask a running server and are clients of the HTTP API
like any other; doctor and tokens work on the store itself, beside a server or without one.
"""
