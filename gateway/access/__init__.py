"""Knows who is calling, and what that caller may see.

Words. *key*: an API key, ``twk_<8 characters>_<43 characters>``; the first part is its visible prefix, the
second 256 random bits. *caller*: what a key stands for: a name, scopes, and the regions and entities it may
see. Two keys of the same name are one caller, so that a key can be changed without losing its
Idempotency-Keys. *instance*: what belongs to this deployment and not to a process, such as the secret that
signs cursors.

Laws. A key is stored and looked up as its SHA-256, so that timing tells nothing of it, and is shown once. A
request costs no database read: each process holds the keys in memory and reads them again within a second; a
revoked key therefore works for at most that second. A process that has not reached its database for
``STALE_S`` trusts no key any more. Making and revoking a key leaves an audit row in the same commit.
"""

from gateway.access.caller import SCOPES, Caller, within
from gateway.access.instance import instance_secret
from gateway.access.keys import KeyRow, Keys
from gateway.access.signing import Cursors

__all__ = ["SCOPES", "Caller", "Cursors", "KeyRow", "Keys", "instance_secret", "within"]
