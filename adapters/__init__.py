"""Knows protocols and products, and nothing of the gateway.

An adapter speaks to one system. It takes and gives *plain fields*: canonical field names with JSON-like
values in the canonical wire form (decimal strings, ISO dates), where a reference carries the native id of
this system. A product is a TOML profile under ``profiles/``; bytes, verbs and sessions live in
``protocols/``. An adapter tries once and says exactly what it knows about the outcome (``errors``); whoever
called it decides about trying again.
"""
