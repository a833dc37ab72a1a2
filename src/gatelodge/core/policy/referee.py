"""The referee: the whole policy text of a workspace, evaluated in full, without any table.

Slow on purpose and independent of the tables it is held against: by the property tests always,
and by whoever wants a single decision replayed.
"""

from functools import lru_cache

import cedarpy
from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.policy.schema import (
    circumstances,
    entities,
    request_entities,
    schema,
)
from gatelodge.core.view_entry import CallContext, Entry, PrincipalEntry


class CedarRuling(Struct, frozen=True):
    """What Cedar says of one call: allowed only when it permits and no policy failed.

    `rules` are the policies that determined it, sorted by id; empty when nothing permits.
    """

    allowed: bool
    rules: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def rule_in_full(
    text: str, principal: PrincipalEntry, entry: Entry, at: Instant, context: CallContext
) -> CedarRuling:
    """Evaluate the text. A text that does not parse allows nothing."""
    try:
        request = {**request_entities(principal, entry), "context": circumstances(at, context)}
        found = cedarpy.is_authorized(
            request, _parsed_policy_set(text), entities(principal, entry), schema()
        )
    except (ValueError, TypeError) as fault:
        return CedarRuling(allowed=False, errors=(str(fault),))
    told = found.diagnostics
    rules = tuple(sorted(told.id_annotations_by_reason.values()))
    errors = tuple(told.errors)
    # Cedar skips a policy that fails; where that was a forbid, the Allow without it is none.
    return CedarRuling(found.decision is cedarpy.Decision.Allow and not errors, rules, errors)


@lru_cache(maxsize=16)
def _parsed_policy_set(text: str) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_str(text, release_gil=True)
