"""One send: a claim becomes one adapter call, and whatever comes of it becomes a Conclusion. Tries once.

What the transport saw decides (``adapters.errors``): a definite no makes the delivery ready again after a wait; an
unknown outcome keeps the lane held until the resolver has looked; a refusal ends it. A refusal of a second or later
attempt, and any "already exists", is looked into first: our own earlier request may have landed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any

from adapters.contract import Adapter, Found, Receipt, Write
from adapters.door import Urgency, urgent
from adapters.errors import (
    AdapterError,
    Conflict,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
)
from gateway.canonical import BY_NAME
from gateway.clock import Clock
from gateway.crash import ANSWERED, LEAVES, crash_point
from gateway.database import to_micros
from gateway.dispatch.adoption import without_nulls
from gateway.dispatch.claim import MICROS, Claim
from gateway.dispatch.command import Document
from gateway.dispatch.conclusion import Conclusion
from gateway.dispatch.prepare import (
    EditedMeanwhile,
    MatchUnclear,
    NotOffered,
    Preparation,
    ReferenceMissing,
    ReferenceRefused,
    found_link,
    look,
)
from gateway.dispatch.present import overlay
from gateway.dispatch.records import Records
from gateway.dispatch.translate import expected, pointer_of, references, translated
from gateway.errors import Collision, DependencyRefused, FieldError, NotAccepted, Refused
from gateway.ids import Ids
from gateway.ledger.pressure import Pressure
from gateway.ledger.retry import (
    QUARANTINE_MARGIN_S,
    REFERENCE_HORIZON_S,
    backoff_s,
    probe_s,
    reference_wait_s,
)
from gateway.ledger.states import DeliveryEvent
from gateway.ledger.target import BREAKER_OPEN, EDITED, GATE_SHUT, STOPPING, Shut

#: How long a system is left alone that asks for a pause and does not say how long; and the longest that is believed.
PAUSE_S = 30.0
PAUSE_CAP_S = 3600.0
#: What is of unknown outcome at a system that does not answer is looked for when it answers again, and after this
#: many seconds in any case.
OUTAGE_LOOK_S = 30.0
EDITED_S = 1.0  #: until a write is tried again that waits for an edit to be taken in
VERSION_TRIES = 8  #: of a write that the system refuses without showing what stands in its way


class Sender:
    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        records: Records,
        clock: Clock,
        ids: Ids,
        pressure: Pressure,
        quarantine_margin_s: float = QUARANTINE_MARGIN_S,
    ) -> None:
        self._adapters = adapters
        self._records = records
        self._preparation = Preparation(records)
        self._clock = clock
        self._ids = ids
        self._pressure = pressure
        self._quarantine_margin_s = quarantine_margin_s

    def pause_left_s(self, system: str) -> float:
        """How long this system must not be called yet: it said so, or it does not answer."""
        shut = self._pressure.shut(system)
        if shut is None:
            return 0.0
        return OUTAGE_LOOK_S if shut.code == BREAKER_OPEN else shut.seconds

    @staticmethod
    def paused(throttled: Throttled) -> float:
        """The pause that a system asks for, in seconds. Its door has shut the gate already."""
        return min(PAUSE_CAP_S, PAUSE_S if throttled.retry_after_s is None else throttled.retry_after_s)

    async def send(self, claim: Claim) -> Conclusion:
        """The outcome of this one attempt. Never raises what a system can cause."""
        with urgent(_urgency(claim)):
            conclusion = await self._send(claim)
        if conclusion.event is DeliveryEvent.APPLIED:
            self._pressure.succeeded(claim.system)
        return conclusion

    async def _send(self, claim: Claim) -> Conclusion:
        if claim.refusal is not None:
            return self._refused(claim, claim.refusal.title(), str(claim.refusal), refusal=claim.refusal)
        adapter = self._adapters.get(claim.system)
        if adapter is None or not adapter.supports(claim.entity):
            message = f"no profile of {claim.system} holds {claim.entity}"
            return self._refused(claim, "not_held", message, refusal=Refused(message))
        if self._pressure.stopping:
            return self._later(claim, STOPPING, "this process stops", wait_s=0.0)
        if (shut := self._pressure.shut(claim.system)) is not None:
            return self._shut(claim, shut)
        try:
            write, kind = await self._preparation.write(adapter, claim)
        except ReferenceMissing as missing:
            return self._reference_missing(claim, missing)
        except ReferenceRefused as gone:
            error = FieldError(pointer=gone.pointer, code="refused", message=str(gone))
            return self._refused(
                claim, "dependency_refused", str(gone), refusal=DependencyRefused(str(gone), errors=[error])
            )
        except MatchUnclear as unclear:
            return self._refused(claim, unclear.code, str(unclear), refusal=Collision(str(unclear)))
        except EditedMeanwhile as edited:
            return self._later(claim, EDITED, str(edited), wait_s=EDITED_S, reached=True)
        except NotOffered as never:
            refusal = Refused(str(never), system=claim.system)
            return self._refused(claim, "not_offered", str(never), refusal=refusal)
        except Throttled as throttled:
            return self._throttled(claim, throttled)
        except AdapterError as failed:
            # Nothing of the write itself has been sent; only the look-ups before it failed.
            return self._later(claim, failed.code or type(failed).__name__, failed.message, cause=failed)
        if self._clock.monotonic() >= claim.ends_at:
            # Somebody may be looking for this delivery already; nothing has left, and nothing does.
            return self._later(
                claim, "late", "the lease ended before anything was sent", wait_s=0.0, reached=True
            )
        try:
            async with asyncio.timeout(self._left_s(claim)):
                crash_point(LEAVES[claim.role])
                receipt = await self._call(adapter, kind, write)
                crash_point(ANSWERED[claim.role])
                if kind == "transition":
                    crash_point("CP16")
        except TimeoutError:
            # Also a call that waited for its place all the time: no byte of it leaves after the lease.
            return self._unknown(
                adapter, claim, OutcomeUnknown("no answer within the lease", system=claim.system)
            )
        except Throttled as throttled:
            return self._throttled(claim, throttled)
        except (Unavailable, Misconfigured) as no:
            return self._later(claim, no.code or type(no).__name__, no.message, cause=no)
        except OutcomeUnknown as unknown:
            return self._unknown(adapter, claim, unknown)
        except Rejected as refused:
            return await self._judge(adapter, claim, write, kind, refused)
        return await self.applied(
            adapter,
            claim,
            receipt,
            event=DeliveryEvent.APPLIED,
            conditional=self._conditional(adapter, write),
        )

    def _reference_missing(self, claim: Claim, missing: ReferenceMissing) -> Conclusion:
        """Most that are missing are on their way; what has not come within a day, nobody is bringing."""
        if to_micros(self._clock.now()) - claim.accepted_at < REFERENCE_HORIZON_S * MICROS:
            wait = reference_wait_s(claim.attempt)
            return self._later(claim, "reference_missing", str(missing), wait_s=wait, reached=True)
        message = f"{missing}, and it was waited for since the write was accepted"
        error = FieldError(pointer=missing.pointer, code="missing", message=message)
        return self._refused(
            claim, "reference_missing", message, refusal=DependencyRefused(message, errors=[error])
        )

    def _left_s(self, claim: Claim) -> float | None:
        return None if claim.ends_at == inf else claim.ends_at - self._clock.monotonic()

    # --- the call --------------------------------------------------------------------------------------------

    async def _call(self, adapter: Adapter, kind: str, write: Write) -> Receipt:
        if kind == "create":
            return await adapter.create(write)
        if kind == "transition":
            return await adapter.transition(write)
        return await adapter.update(write)

    # --- after -----------------------------------------------------------------------------------------------

    async def applied(
        self,
        adapter: Adapter,
        claim: Claim,
        receipt: Receipt | Found,
        *,
        event: DeliveryEvent,
        conditional: bool = False,
    ) -> Conclusion:
        """The system has it. For the authority the record is what it now says it is. ``conditional``: a late landing
        of an earlier attempt is refused by the system itself."""
        document: Document | None = None
        if claim.role == "authority":
            if not receipt.fields:
                receipt = await self._read_back(adapter, claim, receipt)
            if receipt.fields:
                document = await self.canonical(adapter, claim.entity, receipt.fields, claim.image)
        return Conclusion(
            claim=claim,
            event=event,
            native_id=receipt.native_id,
            native_version=receipt.native_version,
            document=document,
            source="probe" if event is DeliveryEvent.FOUND else "answer",
            quiet=not conditional and self._may_still_land(claim, receipt, event),
        )

    async def _read_back(self, adapter: Adapter, claim: Claim, receipt: Receipt | Found) -> Receipt | Found:
        """The record as a system has it that answers a write with nothing: with the number that it gave, and with
        what somebody has changed in it meanwhile, so that the caller and the mirror get both."""
        try:
            async with asyncio.timeout(self._left_s(claim)):
                found = await adapter.fetch(claim.entity, receipt.native_id)
        except (AdapterError, TimeoutError):
            # The write is done all the same; what it has become is seen at the next read.
            return receipt
        shows_it = (
            found.marker == claim.marker
            or (found.native_version is not None and found.native_version == receipt.native_version)
            or not adapter.facts(claim.entity).read_lag_s
        )
        # Reads of a product that are behind its writes would give the caller, and the mirror, the state before.
        return found if shows_it else receipt

    @staticmethod
    def _conditional(adapter: Adapter, write: Write) -> bool:
        return adapter.facts(write.entity).conditional and write.native_version is not None

    @staticmethod
    def _may_still_land(claim: Claim, receipt: Receipt | Found, event: DeliveryEvent) -> bool:
        """Whether an earlier attempt, whose outcome nobody knows, is not the one that was now seen to be applied.
        Landing after the next write of the lane, it would bring an old state back."""
        if event is DeliveryEvent.FOUND:
            proven = isinstance(receipt, Found) and receipt.marker == claim.marker
            return claim.maybe_sent > (1 if proven else 0)
        return claim.maybe_sent > 0

    async def canonical(
        self, adapter: Adapter, entity_name: str, fields: Mapping[str, Any], image: Document
    ) -> Document:
        """What the system answered, laid over what it was given, with canonical references."""
        entity = BY_NAME[entity_name]
        named = [(adapter.name, owner, native) for _, owner, native in references(entity, fields)]
        known = await self._records.canonical_ids(named)
        answered = translated(
            entity, without_nulls(fields), lambda owner, native: known.get((adapter.name, owner, native))
        )
        facts = adapter.facts(entity_name)
        return overlay(
            entity,
            image,
            answered,
            mapped=facts.mapped,
            expect=lambda document: expected(adapter, entity, document),
        )

    async def _judge(
        self, adapter: Adapter, claim: Claim, write: Write, kind: str, refused: Rejected
    ) -> Conclusion:
        """A refusal. Was it really this request that was refused, or has an earlier one of ours landed?"""
        try:
            if isinstance(refused, Conflict) and kind != "create" and write.native_id is not None:
                found = await adapter.fetch(claim.entity, write.native_id)
                if found.marker == claim.marker:
                    return await self.applied(
                        adapter, claim, found, event=DeliveryEvent.APPLIED, conditional=True
                    )
                if found.native_version != write.native_version:
                    if self._preparation.spares(adapter, claim):
                        return self._later(claim, EDITED, refused.message, wait_s=EDITED_S, reached=True)
                    # It was changed in the ERP meanwhile; the next attempt is made on what is there now.
                    await self._records.keep_link(found_link(adapter, claim.entity, claim.record_id, found))
                    return self._later(claim, "version_moved", "changed there meanwhile", wait_s=0.05, reached=True)
                if write.native_version is not None and claim.attempt < VERSION_TRIES:
                    # Refused for a version that a read still shows: its reads are behind, and may soon show that
                    # an earlier request of ours has landed.
                    return self._later(claim, "version_moved", refused.message, reached=True)
            elif isinstance(refused, Conflict) or claim.maybe_sent or claim.attempt > 1:
                mine = [one for one in await look(adapter, claim) if one.marker == claim.marker]
                if len(mine) == 1:
                    return await self.applied(adapter, claim, mine[0], event=DeliveryEvent.APPLIED)
                lag = adapter.facts(claim.entity).search_lag_s
                if lag and claim.maybe_sent and claim.attempt < VERSION_TRIES:
                    # It may be our own earlier request that stands in the way, and searches do not show it yet.
                    return self._later(claim, "not_shown_yet", refused.message, wait_s=lag, reached=True)
        except NotFound:
            if adapter.facts(claim.entity).read_lag_s and claim.attempt < VERSION_TRIES:
                # Its reads are behind, and do not even show yet that the record was made.
                return self._later(claim, "version_moved", refused.message, reached=True)
            # What it refused is gone from it too; the refusal stands.
        except AdapterError:
            # Whether our own earlier request landed could not be found out just now.
            return self._unknown(
                adapter, claim, OutcomeUnknown(refused.message, system=adapter.name, code=refused.code)
            )
        pointer = pointer_of(claim.kind, refused.field)
        error = FieldError(pointer=pointer, code=refused.code or "refused", message=refused.message)
        refusal = Refused(refused.message, errors=[error], system=adapter.name, code=refused.code)
        return self._refused(claim, refused.code or type(refused).__name__, refused.message, refusal=refusal)

    def _refused(self, claim: Claim, code: str, message: str, *, refusal: Any) -> Conclusion:
        authority = claim.role == "authority"
        return Conclusion(
            claim=claim,
            event=DeliveryEvent.REFUSED_AUTHORITY if authority else DeliveryEvent.REFUSED_MIRROR,
            code=code[:80],
            message=message[:2000],
            refusal=refusal,
        )

    def _shut(self, claim: Claim, shut: Shut) -> Conclusion:
        # Behind an open breaker it is due at once: nobody claims it before the system is there again, and then
        # nothing has to be woken, however much there is.
        wait = 0.0 if shut.code == BREAKER_OPEN else shut.seconds
        return self._later(claim, shut.code, shut.message, wait_s=wait, again_s=shut.seconds)

    def _throttled(self, claim: Claim, throttled: Throttled) -> Conclusion:
        code = GATE_SHUT if throttled.code == GATE_SHUT else "throttled"
        return self._later(claim, code, throttled.message, wait_s=self.paused(throttled))

    def _later(
        self,
        claim: Claim,
        code: str,
        message: str,
        *,
        wait_s: float | None = None,
        cause: AdapterError | None = None,
        again_s: float = 0.0,
        reached: bool = False,
    ) -> Conclusion:
        """Nothing was done, and it is tried again. ``reached``: the system is there, so nothing is given back."""
        if cause is not None and cause.code in (BREAKER_OPEN, STOPPING):
            wait_s = 0.0  # it had not left when the door was shut
        first = claim.attempt == 1 and not claim.maybe_sent
        withdraw = not reached and claim.role == "authority" and not claim.storable and first
        wait = backoff_s(claim.attempt, self._ids) if wait_s is None else wait_s
        refusal = None
        if withdraw:
            retry_after = (
                cause.retry_after_s
                if cause is not None and cause.retry_after_s
                else max(1, round(max(wait, again_s)))
            )
            refusal = NotAccepted(
                f"{claim.system} cannot be reached and this slice does not store writes",
                retry_after_s=retry_after,
            )
        return Conclusion(
            claim=claim,
            event=DeliveryEvent.DEFINITE_NO,
            code=code[:80],
            message=message[:2000],
            wait_s=wait,
            withdraw=withdraw,
            refusal=refusal,
        )

    def _unknown(self, adapter: Adapter, claim: Claim, cause: AdapterError) -> Conclusion:
        return Conclusion(
            claim=claim,
            event=DeliveryEvent.AMBIGUOUS,
            code=cause.code or type(cause).__name__,
            message=cause.message[:2000],
            wait_s=probe_s(0),
            quarantine_s=self.quarantine_s(adapter, claim.entity),
        )

    def quarantine_s(self, adapter: Adapter, entity: str) -> float:
        """How long after the end of its lease a request of ours may still take effect there."""
        facts = adapter.facts(entity)
        return facts.max_processing_s + facts.lag_s + self._quarantine_margin_s


def _urgency(claim: Claim) -> Urgency:
    if claim.role == "authority":
        return Urgency.LIVE
    return Urgency.MIRROR if claim.attempt == 1 else Urgency.REPLAY
