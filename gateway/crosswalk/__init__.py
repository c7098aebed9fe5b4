"""Knows which canonical record is which native record in each system.

A *link* is (record, system) ↔ native id, one to one within an entity. Links are made when a system confirms a
write, and when a record that a system already holds is seen for the first time (*adoption*): by our own id where
the system kept it, else by the entity's match key within its legal entity, and only if exactly one record fits.
Two records that fit are never joined by guesswork; the row is then adopted as a record of its own.

Where two records turn out to be one, two persons *merge* them. The *loser* becomes a *tombstone*, which is taken for
the *winner* wherever it is named. What only the loser was linked to is the winner's from then on. A system that holds
both keeps both: the loser's native record *stands for* the winner when it is named, and is nobody's own any more. A
tombstone is taken for a record that is none itself, so one step always leads to the end. ``merges`` has what was asked
for and done; the room ``merging`` does it.
"""
