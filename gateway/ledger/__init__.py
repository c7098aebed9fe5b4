"""Guaranteed delivery: what was accepted, where it has to go, and what is known about each try.

Words. *slice*: (entity, region) with its stage, authority and epoch. *record*: one canonical record, with the image
last confirmed by its authority. *operation*: one accepted upstream write. *delivery*: that write on its way to one
system. *lane*: (record, system); its deliveries never overtake. *attempt*: one send, numbered; the number is the
fencing token, so a late answer of an older attempt changes nothing but a ``late_outcome`` row.

Laws. A delivery and its attempt are on disk before the first byte leaves. A lane has at most one call in flight or
of unknown outcome. An expired lease becomes *unknown*, never *ready*: whoever held it may have sent. What may happen
is data: ``states.OPERATION_MOVES`` and ``states.DELIVERY_MOVES``; a pair that is not in the table raises.

Everything here works on a connection inside the caller's transaction and takes many items at a time.
"""
