"""The figures of the README: what the proofs of this program have shown, each with where and when.

A *proof* is a run that writes down what it found: seeds of the simulation, a campaign of kills, benchmarks, tests that
must find what was planted. ``figures.json`` is the record: of each proof its last run that was taken in. The README's
section is made from the record by ``render`` and by nothing else; a test holds that both are equal. A proof without a
run says "not run". A run that broke a law is shown as it is: it cannot be taken in as anything better.
"""
