"""What a system holds as an export file or its database shows it, where its adapter cannot list it.

Words. A *source* is declared by the operator, under a name, in the settings: the system whose records it has, where it
lies, and the file of its *map*, which says in the words of a profile which column is which canonical field. A run names
sources and nothing else: no caller ever gives a path or the address of a database. A *piece* is what is read of a
source at once.

Laws. A row becomes what the adapter would have made of the record, under the system's own ids, so everything that
follows is as it is without a source. Amounts are Decimal or told: a floating point number is taken only as long as it
holds all of its digits. A row that cannot be read is told with its line, field and reason, without its values, and
counted; nothing is passed over in silence, neither a second row of the same key nor a row without one. A source that
is not there, lacks a column or has changed while it was read ends the run, which names it.

A source is read once. The second look at a record that parts takes it as it was read, because an export does not
change; what Twinrun has written since the export was made is late, and never called wrong.

Files. ``map`` is the language and pure; ``files`` and ``query`` read rows, from where a cursor has come to; ``source``
makes records of them; ``columns`` says what the map makes of whole columns; ``piece`` has what they hand on.
"""

from gateway.reconcile.sources.piece import Away, Failed, Piece, Unreadable, Unsuited
from gateway.reconcile.sources.source import Declared, Source, open_sources

__all__ = ["Away", "Declared", "Failed", "Piece", "Source", "Unreadable", "Unsuited", "open_sources"]
