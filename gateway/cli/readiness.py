"""``twinrun readiness``: whether the slices may go on. Exit code 0 pass, 1 fail, 3 too little evidence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli.codes import DIFFER, PASS, UNSURE
from gateway.cli.given import one_of
from gateway.cli.screen import Json, put_json, put_table, say
from gateway.cli.session import KeyFile, who, with_gateway
from gateway.cli.session import secret as secret_in
from gateway.http.admin.readiness import ReadinessTold
from gateway.readiness import Outcome, Report, sheet
from gateway.readiness.gates import together

FORMS: Mapping[str, Callable[[Sequence[Report]], str | bytes]] = {
    "csv": sheet.table,
    "html": sheet.page,
    "pdf": sheet.printed,
    "xlsx": sheet.workbook,
}
_ENDS = {Outcome.PASS: PASS, Outcome.FAIL: DIFFER, Outcome.INCONCLUSIVE: UNSURE}


def show(
    *,
    entity: str | None = None,
    region: str | None = None,
    as_: Annotated[str | None, Parameter(name="--as")] = None,
    json: Json = False,
) -> int:
    """Each slice with its verdict and what stands against it; of a single slice every gate.

    Exit code 0 when every slice passes, 1 when one fails, 3 when there is too little evidence.

    Parameters
    ----------
    entity:
        Only of this entity.
    region:
        Only in this region.
    as_:
        csv, html, pdf or xlsx on standard output, instead of tables.
    """
    one_of("--entity", entity, tuple(BY_NAME))
    one_of("--as", as_, tuple(FORMS))

    async def work(gateway: Gateway) -> list[Report]:
        one_of("--region", region, gateway.slices.places())
        return list(await gateway.readiness.all(entity=entity, region=region))

    found = with_gateway(work)
    verdict = together([one.verdict for one in found])
    if json:
        put_json(msgspec.to_builtins(ReadinessTold(verdict=verdict, items=tuple(found))))
    elif as_ is not None:
        _write(found, as_)
    elif len(found) == 1:
        _print_one(found[0])
    else:
        _print(found)
    return _ENDS[verdict]


def sign(
    entity: str,
    region: str,
    /,
    *,
    evidence: str,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Answer for the evidence of one slice. Whoever made the last change of its rule does not sign.

    Parameters
    ----------
    entity:
        The entity.
    region:
        The region.
    evidence:
        The hash of the report that you have looked at.
    key_file:
        A file with your API key. Default: you are who is logged in at this terminal.
    """
    secret = secret_in(key_file)
    one_of("ENTITY", entity, tuple(BY_NAME))

    async def work(gateway: Gateway) -> Report:
        one_of("REGION", region, gateway.slices.places())
        return await gateway.readiness.sign(
            entity, region, evidence_hash=evidence, actor=await who(gateway, secret, "admin:approve")
        )

    found = with_gateway(work)
    if json:
        put_json(msgspec.to_builtins(found))
    else:
        say(f"{entity} in {region}, {found.verdict}: {sheet.signed(found)}")


def _write(found: list[Report], form: str) -> None:
    made = FORMS[form](found)
    if isinstance(made, bytes):
        sys.stdout.buffer.write(made)
    else:
        sys.stdout.write(made)
    sys.stdout.flush()


def _print(found: list[Report]) -> None:
    put_table(
        ("slice", "stage", "next", "verdict", "fails", "inconclusive", "way back"),
        [
            (
                f"{one.entity}/{one.region}",
                one.stage,
                one.next,
                one.verdict,
                ", ".join(gate.name for gate in one.gates if gate.verdict is Outcome.FAIL),
                ", ".join(gate.name for gate in one.gates if gate.verdict is Outcome.INCONCLUSIVE),
                one.way_back.verdict,
            )
            for one in found
        ],
    )


def _print_one(one: Report) -> None:
    say(f"{one.entity} in {one.region}, at {one.stage}, next {one.next or 'none'}: {one.verdict}")
    put_table(
        ("gate", "verdict", "measure", "threshold", "sample", "details"),
        [
            (gate.title, gate.verdict, gate.measure, gate.threshold, gate.sample, "; ".join(gate.details))
            for gate in one.gates
        ],
        right=("sample",),
    )
    say(f"Way back: {one.way_back.words}.")
    say(f"Evidence {one.evidence_hash}, {sheet.signed(one)}")
