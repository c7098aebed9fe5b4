"""How systems are spoken to: one file per protocol, without I/O. Bytes and verbs live here, products do not.

Two products need the same trick: it goes here, and a profile's ``[options]`` chooses it by name.
"""
