"""Who is denied too often gets 429 and is added up in the log; nobody else notices."""

from pathlib import Path

import pytest
from tests.leaves import leaves_of
from tests.stage import Stage

MOST = 30
"""A rate of one in a second, and thirty seconds' worth of it at once."""
MORE = 400


@pytest.mark.slow
@pytest.mark.guarantee("audit:every-request-once")
def test_beyond_the_rate_denials_are_429_for_one_person_and_counted_exactly(tmp_path: Path):
    stage = Stage(tmp_path / "gate")
    stage.gate.sets = (
        *(each for each in stage.gate.sets if "denials" not in each),
        "limits.denials_per_second=1",
    )
    with stage.gate.running():
        place = stage.place("knocking")
        ada, bob = place.admit("ada"), place.admit("bob")
        place.api("POST", "/agents", {"name": "bot", "owner": "ada@example.test"})
        bot = place.token_for(agent="bot")
        before = len(place.leaves())
        answers = [place.client(ada).call("nowhere__tool") for _ in range(MOST + MORE)]
        answers += [place.client(bot).call("nowhere__tool")]
        passed = [each for each in answers if each.status != 429]
        turned = [each for each in answers if each.status == 429]
        # A few more pass on a machine that takes its time: the rate gives one back each second.
        assert MOST <= len(passed) < MOST + MORE
        assert answers[-1].status == 429, "an agent's denials count for its owner"
        assert all(int(each.headers["retry-after"]) >= 1 for each in turned)
        assert all("limits.denials_per_second" in each.json["error"]["message"] for each in turned)
        assert place.client(bob).call("nowhere__tool").status != 429
        assert place.client(ada).request("tools/list", {}).status == 200
        place.leaves()
    leaves = leaves_of(stage.gate.directory, f"calls:{place.id}")[before:]
    denied = [leaf for leaf in leaves if leaf["t"] == "call.denied"]
    limited = [leaf for leaf in leaves if (leaf["t"], leaf.get("http")) == ("request.refused", 429)]
    assert len(denied) == len(passed) + 1
    assert sum(leaf.get("count", 1) for leaf in limited) == len(turned)
    assert len(limited) < len(turned)
