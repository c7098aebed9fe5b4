"""Runs a plan: one accepted write goes to the authority, then durably to the mirror; one read goes to the authority.

A write in three steps. *Intake* (T1): operation, deliveries, attempt on disk in one shared commit, before any byte
leaves. *Send*: the adapter call, outside any transaction, in a task that the caller's hanging up does not stop.
*Outcome* (T3): what the system said, the crosswalk, the record's new image and the mirror's delivery, again in one
shared commit. There is no ``if stage ==`` here: the three cells of the slice's Plan are read at T1 and written
into the operation, which keeps them to its end.

If we do not know whether a system took a write, ``resolver`` looks before anything is sent again.
"""
