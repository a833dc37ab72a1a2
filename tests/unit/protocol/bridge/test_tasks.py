"""Tasks of a modern server under sealed ids, and tools that need one."""

import json

import pytest
from msgspec import Raw

from gatelodge.core.protocol.bridge.tasks import (
    REQUIRED,
    needs_task,
    shown_task,
    task_of,
    with_task,
)
from gatelodge.core.protocol.envelope import members_of
from gatelodge.core.protocol.shown.uris import BARE, UriPrefix

GH = UriPrefix("gh")


def shown(text: str, prefix: UriPrefix = GH) -> str:
    raw = Raw(text.encode())
    new, members = shown_task(raw, members_of(raw), "sealed", prefix)
    assert members == members_of(new)
    return bytes(new).decode()


def test_the_servers_own_id_never_reaches_the_client_and_comes_back():
    begun = '{"resultType":"task","taskId":"theirs","status":"working","ttlMs":1E400,"n":[ 1 ]}'
    assert shown(begun) == begun.replace("theirs", "sealed")
    params = members_of(Raw(b'{"taskId":"sealed","inputResponses":{"k":{ }}}'))
    assert task_of(params) == "sealed"
    upstream = with_task(params, "theirs")
    assert (task_of(upstream), bytes(upstream["inputResponses"])) == ("theirs", b'{"k":{ }}')


def test_a_finished_task_holds_the_result_as_the_request_would_have_brought_it():
    done = (
        '{"taskId":"theirs","status":"completed",'
        '"result":{"content":[{"type":"resource_link","uri":"a:b"}],"n":1.0}}'
    )
    assert shown(done) == done.replace("theirs", "sealed").replace("a:b", "gh+a:b")
    assert shown(done, BARE) == done.replace("theirs", "sealed")


def test_a_failed_task_holds_the_error_as_the_request_would_have_brought_it():
    failed = '{"taskId":"theirs","error":{"code":-32020,"message":"m","data":1.0}}'
    assert shown(failed) == failed.replace("theirs", "sealed").replace("-32020", "-32603")


@pytest.mark.parametrize(
    "text", ['{ "resultType": "complete" }', '{ "status": "working", "result": [] }']
)
def test_an_answer_that_names_no_task_is_the_very_same(text):
    raw = Raw(text.encode())
    members = members_of(raw)
    assert shown_task(raw, members, "sealed", GH) == (raw, members)
    assert shown_task(raw, members, "sealed", GH)[0] is raw
    assert with_task(members, "sealed") is members
    assert task_of(members) is None


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ('{"name":"a","execution":{"taskSupport":"required"}}', True),
        ('{"name":"a","execution":{"taskSupport":"optional"}}', False),
        ('{"name":"a","execution":{"taskSupport":"forbidden"}}', False),
        ('{"name":"a","execution":{}}', False),
        ('{"name":"a","description":"taskSupport required"}', False),
        ('{"name":"a","execution":"taskSupport"}', False),
        ("7", False),
    ],
)
def test_a_tool_that_can_only_be_called_as_a_task_is_known(text, needed):
    assert needs_task(Raw(text.encode())) is needed


def test_the_missing_capability_is_named_as_an_object():
    named = json.loads(REQUIRED)["requiredCapabilities"]
    assert named == {"extensions": {"io.modelcontextprotocol/tasks": {}}}
