"""Bench: how fast Blockwire is, measured against what the same machine allows in the same run.

`make bench` prints a table and writes bench.json and bench.svg. Each figure stands
beside its floor: the least that the same thing could cost here, without Blockwire.
Rounds of both alternate; figures are medians. Nothing here is a test.

    python -m tests.bench [--rounds N] [--only NAME…] [--out FOLDER]
"""
