"""Two simulated ERPs of a professional services firm: ``legacy`` (on-premise manner) and ``cloud``.

They stand in for the two systems of a migration: same business content, different names, codes, numbers,
losses and manners on the wire. Each is the honest witness of what was done to it: whatever changes a record
is written to an append-only *effect log* by the simulator itself. *Faults* are switched over HTTP. Their
wires are described in ``legacy/__init__.py`` and ``cloud/__init__.py``, their fields in the ``tables.py``
beside them: native name, kind (length, decimals, code list) and the canonical field held there.

Start: ``python -m adapters.sandbox --legacy-port 8101 --cloud-port 8102 [--control-port 8100] [--seed 7]
[--scale 1.0|small|empty] [--effects-dir DIR] [--latency-ms N]``, or ``await
process.serve(process.Options(...))``. It prints ``READY legacy http://…``, ``READY cloud http://…`` and
``READY control http://…`` once all answer.

**Held by both:** all eight entities with every state and nested list. Natural keys to match records across
the systems: ``number`` (customer, project, resource, contract, invoice), ``timesheet_ref`` (time_entry),
``receipt_ref`` (expense), ``reference`` (payment). The native key is a number of each system's own. A create
without a business number leaves it empty. Seeded rows carry no external id and no marker.

**Refused by both** on business rules: unknown reference; missing required field; malformed value; unknown
code (``tax_code`` too: standard, reduced, zero, exempt, reverse_charge); unknown legal entity (known: UK01
DE01 CH01 US01 SG01 AU01); an invoice for a blocked or archived customer; time or expense on a closed or
cancelled project; totals that do not add up; allocations above the payment; another content for a posted
invoice, time entry or expense or a reversed payment, or a way back from posted. A state may skip steps.

**Effect log** (each system has its own; ``seq`` starts at 1, the seed is not in it; reads and refused writes
leave nothing): ``GET /_sandbox/effects?since=SEQ&marker=&external_id=&entity=&key=&limit=`` → ``{"items":
[{"seq", "time", "system", "entity", "key", "external_id", "action", "marker", "body_hash", "version",
"main"}], "last": SEQ}``; action: create, update, delete or direct_edit; ``main``: the business number, state
and amounts, native names. With ``--effects-dir`` each line also goes to ``DIR/<system>.jsonl``.

**Faults** ``POST /_sandbox/faults`` (201 with ``id``), ``GET`` (with hits), ``DELETE
/_sandbox/faults[/id]``: ``{"kind": …, "entity": ["invoice"], "on": ["writes"], "probability": 1.0, "count":
3, "for_s": 30, …}``. ``on``: reads (fetch, search), writes (create, update, delete, batch), or single ones.
Without filter: everything.

| kind | own fields (default) | what the caller sees |
|---|---|---|
| latency | ms, jitter_ms (0) | a slow answer; the effect comes at the end of the wait |
| outage | – | the port refuses connections; those open are cut (no filter, count or probability) |
| refuse | – | a new connection is reset before a byte is read (no entity filter; count, probability) |
| drop | how: close, reset, hang (close) | request read, nothing done, connection ended |
| hang | s (3600), effect (false) | no answer for ``s`` seconds, then closed |
| answer_lost | how | done, connection ended without an answer |
| late | s (2), how | ended at once; the effect comes ``s`` seconds later |
| error | status (500), effect (false), retry_after_s | 5xx (or any status) with or without effect |
| throttle | retry_after_s (1), spelling: seconds, date, none | 429, nothing done |
| garbage | effect (true) | 200 with half an answer |
| double | – | the request is processed twice, one answer |
| read_lag | s (5) | reads (or only ``search``) answer the state of ``s`` seconds ago |
| rounding | places (0), fields | amounts of a write are rounded when stored |
| truncation | fields | texts of a write lose their last character when stored |
| drift | s (0), fields | after a write a field changes by itself (logged as direct_edit) |

``fields`` are canonical names. Latency adds up; of the faults that end a request the first that matches
wins.
**Direct edits** behind everyone's back, native names and wire values, no business checks: ``POST
/_sandbox/edit`` ``{"entity", "action": "edit"|"insert"|"delete", "key", "set": {…}, "touch": true}`` (false:
stamps unchanged).
**Also** ``GET /_sandbox/health`` and ``GET /_sandbox/stats`` (requests, effects, records, faults). The
control port serves the same for both, under ``/legacy/_sandbox/…`` and ``/cloud/_sandbox/…``, also during an
outage.
"""
