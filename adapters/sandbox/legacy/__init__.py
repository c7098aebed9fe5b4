"""The legacy ERP: REST with XML bodies, German element names, one-letter codes, its own number ranges.

Values: dates ``31.12.2026``, timestamps ``31.12.2026 23:59:59`` (UTC, whole seconds), decimals ``1234,50``
(no grouping), booleans ``J``/``N``. An empty value has no element; a list always has one. UTF-8; any
credentials pass. One address per entity (see ``tables.py``): Kunden, Projekte, Personal, Vertraege, Zeiten,
Spesen, Rechnungen, Zahlungen.

| call | answer |
|---|---|
| ``GET /erp/Kunden/100001`` | 200 ``<Kunde>``; 404 |
| ``GET /erp/Kunden?Status=A&Status=G&anzahl=50&ab=0`` | 200 ``<Liste Gesamt="80" Ab="0" Anzahl="50">…`` |
| ``POST /erp/Kunden`` | 201 ``<Kunde>`` as stored, ``Location`` |
| ``PUT /erp/Kunden/100001`` | 200; what is given is set, empty clears, the rest stays, lists are replaced |
| ``DELETE /erp/Kunden/100001`` | 204 |
| ``GET /erp/Status`` | 200 ``<Status><System>legacy</System><Zeit>…</Zeit></Status>`` |

**Searching**: any top-level element that is not a list, repeated for "any of"; ``geaendert_ab=23.11.2026
10:00:00`` (inclusive; ordered by change then); ``anzahl`` 1–200 (50), ``ab`` the offset (0). The last page
is the one where ``Ab + Anzahl >= Gesamt``. An unknown parameter is 400.

**A record** starts with its native key (``KundenNr``) and ends with ``Referenz`` (40 characters, what the
last write carried: the marker; searchable, not unique, cut when longer), ``Angelegt``, ``Aenderung`` and
``Zaehler`` (counts its changes). There is no conditional update, no external id and no idempotency: the same
POST twice is two records. Key, stamps and ``Zaehler`` in a body are ignored, and so is, without a word, any
element not known. Example::

    <Kunde><KundenNr>100001</KundenNr><Nummer>CU-0001</Nummer><Buchungskreis>DE01</Buchungskreis>
    <Status>A</Status><Name1>Kestrin Hydraulik GmbH</Name1><Ort>Ulm</Ort><Land>DE</Land>
    <Waehrung>EUR</Waehrung><Zahlungsziel>30</Zahlungsziel><Kreditlimit>50000,00</Kreditlimit>
    <KreditlimitWhg>EUR</KreditlimitWhg><Referenz>op_0192…</Referenz><Angelegt>01.10.2026 06:00:00</Angelegt>
    <Aenderung>01.10.2026 06:00:00</Aenderung><Zaehler>1</Zaehler></Kunde>
    <Rechnung><BelegNr>9020000001</BelegNr>…<Netto>100,00</Netto><Steuer>19,00</Steuer><Brutto>119,00</Brutto>
    <Offen>119,00</Offen><Positionen><Position><PosNr>1</PosNr><Text>…</Text><Projekt>500001</Projekt><Art>Z</Art>
    <Menge>1,000</Menge><Einzelpreis>100,00</Einzelpreis><Betrag>100,00</Betrag><Steuerkz>N</Steuerkz>
    <Steuerbetrag>19,00</Steuerbetrag><Quellen><Quelle>tim_…</Quelle></Quellen></Position></Positionen></Rechnung>

**Errors**: ``<Fehler><Code>F110</Code><Feld>Kunde</Feld><Text>…</Text></Fehler>`` with 400 (F001 not XML,
F002 unknown parameter), 404 (F404 no such record), 405 (F405), or 422 for a refusal: F010 required, F011
malformed value, F012 unknown code, F013 unknown tax code, F014 unknown company code, F020 unknown reference,
F110 customer blocked, F120 project closed, F130 document posted, F140 totals do not add up, F150 allocated
above the payment. ``Feld`` is the native element (``Positionen/2/Steuerkz`` inside a list, counted from 1);
it is left out where no field is meant.

**Declared losses**: text is cut at the length in ``tables.py`` (names 35, notes 60), hours are rounded half
up to 2 decimals and quantities to 3, the language keeps its first two letters; ``custom_fields`` are not
held. Money is never cut: at most 3 decimals, more are refused. Money is one element in the currency of the
record's ``Waehrung``; elements in a currency of their own have a twin that ends in ``Whg``.
"""
