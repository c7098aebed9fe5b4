"""The stateful model test: short histories that Hypothesis draws step by step, and shrinks when one breaks a law.

The simulation (``tests/simulation``) lets many things happen at once and judges what is left; here nothing happens by
itself. A step is one act: a caller asks, a system goes down, a replica claims what is due, a lease runs out, an
operator moves the authority. After each step the journal is held against a reference model, which is a dict of
records and of what their callers asked for, and against the laws that hold at any moment; at the end faults stop,
everything that is open comes to its end, and all laws are judged.

``stepped`` is the simulation's world without loops and dice, ``wishes`` what callers ask for, ``streams`` the
reference model, ``operator`` what people do, ``machine`` the steps, ``stores`` real databases in place of the
simulated one.

    python -m tests.model --histories 3000 --steps 60              on the simulated store
    python -m tests.model --store sqlite                           on a SQLite file
    python -m tests.model --store postgresql --journal URL         on a database of its own, which is emptied
"""
