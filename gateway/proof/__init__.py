"""Proves, before anything is written, what two products make of the same canonical record. Pure but for ``sample``.

Words: a *probe* is a value that tells much about a mapping; its *image* is what it reads back as. A *finding* is one
loss with the value that shows it. A field is *exact* if no probe was lost and no limit of the profile is left
unexplained, *lost* if a value was seen to be lost, *unproven* if nobody can say (a field that the product fills by
itself). Of a pair, a field is *not held* if the first product has nothing that could be lost.

Laws:
- A finding was seen on the real mapping, with the spelling of the protocol: nothing is lost by theory alone.
- An exact field loses no value that the canonical model lets in.
- What agrees and what does not is the compare policy's word, so a proof and a later comparison say the same.

``blocking`` is what keeps a slice from being mirrored: a field that every create carries and that the mirror does not
hold, and money that would become another amount. Any other loss is shown, and whoever moves the slice takes it with the
reason that they give.
"""

from __future__ import annotations

from gateway.proof.pair import Notice, Proofs, notices, prove_pair
from gateway.proof.prover import Prover
from gateway.proof.verdict import (
    LOSSES,
    EntityProof,
    FieldProof,
    Finding,
    Loss,
    Outcome,
    PairField,
    PairProof,
    shown,
    told,
)

__all__ = [
    "LOSSES",
    "EntityProof",
    "FieldProof",
    "Finding",
    "Loss",
    "Notice",
    "Outcome",
    "PairField",
    "PairProof",
    "Proofs",
    "Prover",
    "notices",
    "prove_pair",
    "shown",
    "told",
]
