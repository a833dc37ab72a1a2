"""A past call is decided again from the log alone, and comes out as its record says."""

import pytest
from tests.access.test_fold import raw_leaves
from tests.access.year import Year, word_of

from gatelodge.core.access.fold import GovFold
from gatelodge.core.access.replay import RecordedDecision, replay
from gatelodge.core.policy.decision import Deny
from gatelodge.core.view import compile_view, decide

KINDS = {"tools": "tools/call", "prompts": "prompts/get", "resources": "resources/read"}


def recorded(view, workspace, who, entry, at):
    """What a node with this view would write down of such a call."""
    decision = decide(view, who, entry, at, who.context)
    kind = getattr(entry, "kind", "tools")
    return RecordedDecision(
        workspace=workspace.id,
        principal=who.id,
        method=KINDS[kind],
        server=entry.server,
        tool=entry.name if kind == "tools" else "",
        tool_def=entry.digest if kind == "tools" and not isinstance(decision, Deny) else "",
        policy=workspace.policy,
        reason=decision.reason if isinstance(decision, Deny) else "",
        rule=decision.rule,
        at=at,
    )


def some_decisions(year, view, at, count):
    """Records of so many calls of that moment, of whoever is there and whatever is there."""
    for workspace in view.workspaces.values():
        people = [each for each in view.principals.values() if each.workspace == workspace.id]
        entries = [
            entry
            for server in workspace.servers.values()
            for entry in (*server.tools.values(), server.prompts, server.resources)
        ]
        if people and entries:
            for _ in range(count):
                who, entry = year.dice.choice(people), year.dice.choice(entries)
                yield recorded(view, workspace, who, entry, at)


@pytest.mark.guarantee("access:point-in-time")
@pytest.mark.slow
def test_each_of_a_hundred_thousand_recorded_decisions_is_reproduced(house):
    year = Year(house, 11).live(900)
    leaves = raw_leaves(house)
    fold, told, stored, done, words = GovFold(), None, None, 0, set()
    for at, state in zip(year.times, year.states, strict=True):
        fold.extend(leaves[fold.gov : state.gov])
        assert fold.gov == state.gov
        told, stored = compile_view(fold.state(), told), compile_view(state, stored)
        for each in some_decisions(year, stored, at, 170):
            again = replay(told, each)
            assert (again.verdict, again.differences) == ("same", ()), each
            words.add(word_of(again.decision)[:2])
            done += 1
    assert done >= 100_000
    assert words >= {("Allow", ""), ("Deny", "no_grant"), ("Deny", "guardrail")}, words


@pytest.mark.guarantee("access:point-in-time")
def test_a_record_that_says_something_else_than_the_log_differs(house):
    year = Year(house, 3).live(120)
    fold = GovFold()
    fold.extend(raw_leaves(house))
    view = compile_view(fold.state(), None)
    (one, *_) = [
        each
        for each in some_decisions(year, compile_view(year.states[-1], None), year.times[-1], 200)
        if not each.reason
    ]
    assert replay(view, one).verdict == "same"
    for name, forged, what in (
        ("rule", "grn_other", "decision"),
        ("reason", "no_grant", "decision"),
        ("policy", "sha256:00", "policy"),
        ("principal", "mem_nobody", "decision"),
        ("server", "srv_nothing", "decision"),
        ("tool_def", "00", "definition of the tool"),
    ):
        again = replay(view, replaced(one, name, forged))
        assert again.verdict == "differs", name
        assert what in again.differences, (name, again.differences)


def replaced(record, name, value):
    fields = {each: getattr(record, each) for each in record.__struct_fields__}
    return RecordedDecision(**{**fields, name: value})


def test_a_request_whose_record_names_nothing_is_not_decided_again(house):
    view = compile_view(GovFold().state(), None)
    blank = dict.fromkeys(RecordedDecision.__struct_fields__, "") | {"at": 0}
    for method in ("tools/call", "completion/complete", "tasks/get"):
        told = replay(view, RecordedDecision(**{**blank, "method": method}))
        assert told.verdict == "unknown", method
