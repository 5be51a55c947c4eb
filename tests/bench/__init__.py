"""Bench: how fast Blockwire is, measured against what the same machine allows in the same run.

`make bench` prints a table and writes bench.json and bench.svg; `make bench-full` goes to a
million blocks. Each figure stands beside its floor: the least that the same thing could cost
here, without Blockwire. Rounds of both alternate; figures are medians of rounds. Nothing here
is a test of what Blockwire does; test_rows.py sees to it that each row can be measured.

    python -m tests.bench [--only ROW…] [--rounds N] [--full] [--out FOLDER]

Here: the rows (edits, http, agents, answers, pickup, throughput, feeds, growth, memory); what they
share (pace, timing, machine, watching, load); floors that are more than a line (bare, bare_message, queues/).
"""
