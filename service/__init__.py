"""Blockwire's service: shared memory blocks for teams of agents.

The nouns (blocks and their history, agents, messages, runs, leases, changes,
subscriptions, tools, tokens, … : bootstrap.py has them all) each have a room of their
own here, and every write to one leads through it. `store` keeps
them in Redis, `http` shows them to V1 clients, `queue` hands work to `workers`.
"""
