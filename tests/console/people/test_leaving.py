"""The end of access on the page, where two nodes serve: each is told of as its word comes."""

import signal
from contextlib import closing

import pytest
from tests.console.pages import Visitor
from tests.console.streams import Events
from tests.fault.scene.nodes import two_nodes, until_both_serve
from tests.fault.scene.setting import admit
from tests.gate import Gate
from tests.integration.admin_house import House
from tests.postgres import fresh_database
from tests.wire import until

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/event-stream"}


def told_of_the_end(boss: Visitor, who: str) -> list[dict]:
    path = f"/members/{who}@example.test/revoke"
    with closing(Events(boss, path, "POST", b"why=HR-9", origin=boss.origin, **FORM)) as stream:
        return list(iter(stream.next, None))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.guarantee("revoke:under-a-second")
def test_each_of_two_nodes_is_told_of_as_it_acknowledges_and_a_sleeping_one_when_its_lease_ends(
    tmp_path, postgres_url
):
    with two_nodes(tmp_path, fresh_database(postgres_url)) as gates:
        asked, asleep = gates
        boss = Visitor(House(asked))
        assert boss.enter(asked.token).status == 204
        tokens = {name: admit(asked, name) for name in ("awake", "late")}
        for token in tokens.values():
            until_both_serve(gates, token)

        receipt = told_of_the_end(boss, "awake")[-1]["receipt"]
        assert [each["how"] for each in receipt["nodes"]] == ["acknowledged"] * 2
        assert refused(gates, tokens["awake"])

        asleep.process.send_signal(signal.SIGSTOP)
        try:
            told = told_of_the_end(boss, "late")
        finally:
            asleep.process.send_signal(signal.SIGCONT)
        partly = [(len(each["waiting"]), len(each["nodes"])) for each in told if each["waiting"]]
        assert (1, 1) in partly, "the page said nothing while it waited for one"
        receipt = told[-1]["receipt"]
        assert sorted(each["how"] for each in receipt["nodes"]) == ["acknowledged", "lease_expired"]
        assert receipt["completed_ms"] <= receipt["bound_ms"]
        # Awake again it serves nobody before it has looked, and then everybody but them.
        until(lambda: refused(gates, tokens["late"]) or None)


def refused(gates: tuple[Gate, Gate], token: str) -> bool:
    answers = [gate.client(token).request("tools/list", {}).status for gate in gates]
    assert set(answers) <= {401, 503}, answers
    return set(answers) == {401}
