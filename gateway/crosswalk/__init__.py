"""Knows which canonical record is which native record in each system.

A *link* is (record, system) ↔ native id, one to one within an entity. Links are made when a system confirms a
write, and when a record that a system already holds is seen for the first time (*adoption*): by our own id where
the system kept it, else by the entity's match key within its legal entity, and only if exactly one record fits.
Two records that fit are never joined by guesswork; the row is then adopted as a record of its own.
"""
