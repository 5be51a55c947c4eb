"""Queues: Blockwire's queue, its neighbours and a bare pop, each as a worker and a producer that are alike.

The neighbours that Blockwire does not need (taskiq, saq) have an environment of their own, built from
requirements.txt here (neighbours.py); a new lock, when a version changes:

    printf 'taskiq<0.13\\ntaskiq-redis\\nsaq[redis]\\nredis[hiredis]\\n' | uv pip compile - --universal \\
        --python-version 3.11 --generate-hashes --only-binary :all: --no-emit-index-url --no-header \\
        --no-annotate --output-file requirements.txt

What runs inside imports nothing of Blockwire's but clock.py and contender.py, which import nothing.
"""
