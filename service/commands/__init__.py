"""Commands: what people ask a running server from a terminal: lists, a live feed, a message.

Clients of the HTTP API like any other.
"""
