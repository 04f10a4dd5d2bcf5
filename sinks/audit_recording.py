"""Puts entries into the audit log of a store that this process does not have open: a build's, an export's, a proof's.

They stand in the log at once where nobody else holds the store, and else wait beside it (`audit_spool.py`). Apart from
the spool because the store itself takes in what waits, and this opens stores.
"""

from __future__ import annotations

from collections.abc import Sequence

from personas.errors import LockedStoreError
from sinks.audit_log import Note
from sinks.audit_spool import put, spool_of
from sinks.place import Place
from sinks.store import Store


def record(place: Place, notes: Sequence[Note]) -> bool:
    """Put notes into the log. True: they are in it; False: they wait beside the store because other processes have it
    open. StoreError where neither is possible."""
    try:
        with Store.open(place) as store:
            store.note(notes)
    except LockedStoreError:
        spool = spool_of(place)
        assert spool is not None, "a lake is not locked"
        for each in notes:
            put(spool, each)
        return False
    return True
