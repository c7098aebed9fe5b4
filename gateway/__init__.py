"""The gateway: one canonical API in front, an old and a new ERP behind, and the evidence between them.

Rooms, from the top of the import chain to its bottom: ``cli`` and ``app`` compose; ``http``, ``console`` and
``worker`` are the rims; ``switchover`` moves an authority; ``dispatch`` runs a plan; ``compare`` and
``crosswalk`` join the two systems; ``access`` knows callers; ``ledger`` guarantees delivery; ``audit`` remembers
who did what; ``routing`` and ``canonical`` are pure; ``database`` commits; ``wake`` tells other processes.
``adapters`` stands apart.
"""

__version__ = "0.1.0"
