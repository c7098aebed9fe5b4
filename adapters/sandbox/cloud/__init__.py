"""The cloud ERP: OData V4 JSON under ``/odata/v4``, word codes, ETags, upsert by external id.

Values: dates ``"2026-12-31"``, timestamps ``"2026-12-31T23:59:59.123456Z"``, decimals as JSON numbers (as
strings when ``Accept`` says ``IEEE754Compatible=true``; both are taken in a body), booleans. An empty value
is ``null``; a list is ``[]``. Any credentials pass. Entity sets (see ``tables.py``): Customers, Projects,
Workers, Contracts, TimeEntries, Expenses, Invoices, Payments; the key is a string of the system's own:
``Customers('C100001')``.

| call | answer |
|---|---|
| ``GET /odata/v4/`` · ``/odata/v4/$metadata`` | service document · EDMX |
| ``GET /Customers('C100001')`` or ``(ExternalId='cus_…')`` | 200, ``ETag``; 404; 304 for ``If-None-Match`` |
| ``GET /Customers?$filter=…&$orderby=…&$top=&$skip=&$count=true`` | 200 ``{"value": [], …}`` |
| ``GET /Customers/$count`` | the number as text |
| ``POST /Customers`` | 201, ``Location``, ``ETag``; 409 when the ExternalId exists |
| ``PATCH /Customers('C100001')`` | 200; ``If-Match`` needed: 428 without, 412 when stale, ``*`` passes |
| ``PATCH /Customers(ExternalId='cus_…')`` | upsert, 201 or 200; ``If-Match``: only if it exists |
| ``DELETE /Customers('C100001')`` | 204; ``If-Match`` as above |
| ``POST /$batch`` | JSON batch |

**PATCH** sets the properties given, ``null`` clears, a complex value merges, a list is replaced. *One that
changes nothing has no effect*: same answer, same ETag, nothing in the effect log. An unknown property is
400.
**Filters**: ``eq ne gt ge lt le and or not in ( )``, ``contains startswith endswith``, on any property that
is no list (``BillingAddress/City`` too); strings ``'it''s'``, dates and timestamps bare. ``$orderby`` takes
several, ``asc`` or ``desc``; default is the key. A server page is 100 rows: follow ``@odata.nextLink``
(relative to the service root, ``Customers?$filter=…&$skiptoken=100``) as it is. ``$select`` of top-level
properties works; ``$expand`` is refused.
**Batch**: ``{"requests": [{"id": "1", "atomicityGroup": "g", "method": "POST", "url": "Customers",
"headers": {}, "body": {}}]}`` → ``{"responses": [{"id", "status", "headers", "body"}]}``. A group is done
wholly or not at all; when one part fails every part of the group answers a failure (424 ``GroupFailed`` for
the innocent ones).

**Every record** has ``@odata.etag`` (``W/"3"``), its key, ``ExternalId`` (60, unique when set),
``LastOperation`` (60: the marker of the last write; searchable), ``CreatedAt``, ``ModifiedAt``,
``CustomFields`` (a JSON text). Key and stamps in a body are ignored. Example::

    {"@odata.etag": "W/\\"1\\"", "CustomerNo": "C100001", "Number": "CU-0001", "LegalEntity": "DE01",
     "Status": "Active", "Name": "Kestrin Hydraulik GmbH", "BillingAddress": {"Street": "…", "Street2": null,
     "City": "Ulm", "Region": null, "PostalCode": "89073", "Country": "DE"}, "CurrencyCode": "EUR",
     "PaymentTermsDays": 30, "CreditLimit": 50000.00, "CreditLimitCurrency": "EUR", …, "ExternalId": "cus_…",
     "LastOperation": "op_…", "CreatedAt": "…", "ModifiedAt": "…"}
    {"InvoiceNo": "I700001", …, "NetAmount": 100.00, "TaxAmount": 19.00, "TotalAmount": 119.00,
     "OpenAmount": 119.00, "Lines": [{"LineNo": 1, "Description": "…", "ProjectNo": "P300001", "Kind": "Time",
     "Quantity": 1.0000, "UnitPrice": 100.00, "Amount": 100.00, "TaxCode": "Standard", "TaxAmount": 19.00,
     "Sources": ["tim_…"]}]}

**Errors**: ``{"error": {"code": "CustomerBlocked", "message": "…", "target": "CustomerNo"}}``
(``Lines/1/TaxCode`` inside a list, counted from 0). 400: BadRequest, BadFilter, UnknownProperty,
InvalidValue. 404 NotFound, 405 MethodNotAllowed, 409 DuplicateExternalId, 412 PreconditionFailed, 428
PreconditionRequired. 422: RequiredMissing, UnknownCode, UnknownTaxCode, UnknownLegalEntity,
UnknownReference, CustomerBlocked, ProjectClosed, DocumentPosted, TotalsDoNotAddUp, OverAllocated.

**Declared losses**: text is cut at the length in ``tables.py`` (names 120, notes 500), hours and quantities
are rounded half up to 4 decimals. Money is never cut: at most 3 decimals, more are refused. Money is one
number in the record's ``CurrencyCode``; where it has a currency of its own, there is a twin property
``…Currency``.
"""
