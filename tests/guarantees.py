"""What this house promises: each promise with its source, and what is not promised yet.

A test that proves a promise cites it: `@pytest.mark.guarantee("audit:intent-before-effect")`.
`tests/test_guarantees.py` checks both ways; `docs/guarantees.md` is written from here.
"""

from typing import NamedTuple


class Guarantee(NamedTuple):
    """One promise. `since` is the first release that keeps it; empty = `missing` says why not."""

    says: str
    source: str
    since: str = ""
    missing: str = ""


GUARANTEES: dict[str, Guarantee] = {
    "audit:intent-before-effect": Guarantee(
        says="No upstream receives a call whose intent is not durable in the log.",
        source="decision 0004",
        since="0.1",
    ),
    "audit:every-request-once": Guarantee(
        says="Every request for an MCP endpoint leaves exactly one opening record and one closing "
        "record, denials, parse failures, timeouts and client aborts included; every request that "
        "is refused on any other path of a port leaves one, and a change made there is in the gov "
        "log. A record that opens and closes at once counts as both. Requests of whom nobody knows "
        "who sent them are counted exactly, a burst in one record; a process that is killed loses "
        "the count of its last second at most, never the first of a burst.",
        source="decision 0013",
        since="0.1",
    ),
    "audit:no-payload": Guarantee(
        says="No byte of arguments, results, error text or raw URI reaches disk, log, metric or "
        "trace.",
        source="decisions 0005 and 0013",
        since="0.1",
    ),
    "audit:tamper-evident": Guarantee(
        says="An edit, insertion, deletion, reordering or truncation below an externally held "
        "checkpoint is detected by the verifier.",
        source="RFC 9162 section 2.1; C2SP tlog-checkpoint; decision 0005",
        since="0.1",
    ),
    "audit:erasable": Guarantee(
        says="Erasing a person leaves every root, tile and proof unchanged, and nothing left links "
        "the leaves to the person.",
        source="decision 0006",
        missing="Leaves hold commitments only and openings are encrypted under a key for each "
        "member and quarter, so that erasing is possible; the command that does it, and the test "
        "that nothing is left, are not there.",
    ),
    "access:deny-by-default": Guarantee(
        says="Silence is a deny; a forbid always wins; an error in a policy is a deny.",
        source="decision 0008",
        since="0.1",
    ),
    "access:list-equals-call": Guarantee(
        says="What a member can list is exactly what a member can call; what is hidden is "
        "indistinguishable from what does not exist.",
        source="decision 0008",
        since="0.1",
    ),
    "access:point-in-time": Guarantee(
        says="For any past moment the log alone reproduces who could use what, and any single "
        "decision can be replayed.",
        source="decision 0007",
        since="0.1",
    ),
    "revoke:under-a-second": Guarantee(
        says="From commit to cut: every node, every stream, every parked call, under 1 s or the "
        "node refuses to serve; nobody else notices.",
        source="decision 0007",
        since="0.1",
    ),
    "protocol:both-eras": Guarantee(
        says="Any client from 2025-03-26 to 2026-07-28 works with any upstream of the same range, "
        "bridged where no direct connection would.",
        source="MCP 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28; decision 0014",
        since="0.1",
    ),
    "protocol:lossless": Guarantee(
        says="Results pass through unchanged but for the fields this gateway owns.",
        source="decision 0012",
        since="0.1",
    ),
    "isolation:no-second-path": Guarantee(
        says="One decision function and one recorder stand on the only path to an upstream; "
        "nothing a member sends ever starts a process, but for an approved server: one that "
        "nobody used, or a copy that keeps one caller apart from all others, each on record and "
        "within limits of count and rate.",
        source="decisions 0001, 0011, 0014 and 0037",
        since="0.1",
    ),
    "isolation:attested": Guarantee(
        says="No hosted server gets a byte before its isolation was read back, found to be what "
        "its tier promises, and written down.",
        source="decision 0037",
        since="0.1",
    ),
    "secrets:stay-here": Guarantee(
        says="A caller's credential never reaches an upstream, and no secret ever reaches a log, "
        "an argument list or an environment that others can read.",
        source="decisions 0009 and 0011",
        since="0.1",
    ),
    "receipt:bound": Guarantee(
        says="A receipt counts only for the call, server and tool it was made for, under a key "
        "that was good at that position of the log.",
        source="packages/boundary",
        missing="Receipts are not made or verified in this release.",
    ),
}
