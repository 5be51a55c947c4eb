"""The demo: the main job on real text, shown as it happens; `blockwire demo`.

It starts Blockwire on a temporary folder (machine.py) and is from then on a
client of the HTTP API like any other. Three workers read a part of
the text each (texts.py), append to one block at the same time, and a supervisor,
woken by that, keeps a summary (cast.py). What the API tells of it is gathered
(tally.py) and shown (timeline.py, screen.py), from the first message to the
final blocks (story.py); run.py is the process around it.
"""
