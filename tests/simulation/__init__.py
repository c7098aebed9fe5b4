"""The deterministic simulation of the engine: the real classes in three replicas, two fake ERPs; one seed, one history.

``loop`` owns time and order, ``store`` is the database that the replicas share, ``erp`` the two systems with their
append-only effect logs, ``world`` the replicas, callers and faults, ``check`` judges the history that they leave.

    python -m tests.simulation --seeds 2000            many histories, and figures about them
    python -m tests.simulation --seed 17 --trace       one history, to be read
"""
