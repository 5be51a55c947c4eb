"""Metrics: what one process counts of what it does, and the text in which Prometheus reads it.

Nothing here knows the store. Elsewhere: how those of all processes come together (service/figures.py).
"""
