"""Schemas: what V1 requests and answers look like, and how records become answers.

A file per noun, as in service/records. Request models ignore what they do not
know and bound what they know; response models have every field of V1, nulls
included, and then ours.
"""
