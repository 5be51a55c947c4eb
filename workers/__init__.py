"""Blockwire's workers: arq processes that carry agents forward, one step at a time per agent.

A worker takes a job, the job takes the agent's lease, the loop asks the model and
runs its tools. Workers also run tools and answer questions for people who ask. Beside
the jobs every worker renews its leases, looks for agents whose worker is gone, tells
subscribers of changes and posts callbacks.
"""
