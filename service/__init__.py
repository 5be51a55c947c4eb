"""Blockwire's service: shared memory blocks for teams of agents.

The nouns: blocks, agents, messages, runs, leases, changes, subscriptions; each
has a room of its own here, and every write to one leads through it. `store` keeps
them in Redis, `http` shows them to V1 clients, `queue` hands work to `workers`.
"""
