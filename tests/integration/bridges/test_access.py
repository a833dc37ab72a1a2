"""What a member may not use does not exist for any client, and nothing that is said is kept."""

import contextlib

import pytest
from tests.fault.test_canary import Canary
from tests.integration.bridges.conftest import every_server
from tests.integration.bridges.visitors import (
    ELICIT,
    ROOTS,
    SAMPLE,
    Refused,
    accept,
    every_client,
    legacy_client,
    of_clients,
    roots,
    said,
    visiting,
)

pytestmark = [pytest.mark.slow, *of_clients]


@every_client
async def test_prompts_and_resources_belong_to_who_holds_the_whole_server(town, kind):
    email, token = town.guest("need")
    town.grant(member=email, server="push", tool="place", level="all")
    async with visiting(kind, town.url(), token, {ELICIT: [accept(count=1)]}) as guest:
        prompts = await guest.all_of("prompts/list", "prompts")
        assert [each["name"] for each in prompts] == ["need__menu"]
        templates = await guest.all_of("resources/templates/list", "resourceTemplates")
        assert [each["uriTemplate"] for each in templates] == ["need+dish://{name}/recipe"]
        for verb, asked in (
            ("prompts/get", {"name": "push__menu"}),
            ("resources/read", {"uri": "push+dish://soup/recipe"}),
            ("tools/call", {"name": "push__order", "arguments": {}}),
        ):
            told = []
            for word in ("push", "nobody"):
                with pytest.raises(Refused) as refused:
                    await guest.do(verb, **_with(asked, word))
                told.append((refused.value.code, str(refused.value).replace(word, "")))
            assert told[0] == told[1]
        assert not guest.asked


def _with(asked, word):
    """The same request for something of another server, which is not there."""
    return {k: v.replace("push", word) if isinstance(v, str) else v for k, v in asked.items()}


@legacy_client
async def test_nobody_waits_for_a_resource_that_they_may_not_read(town, kind):
    _, token = town.guest("need")
    async with visiting(kind, town.url(), token) as guest:
        for uri in ("both+test://watched-resource", "nobody+test://watched-resource"):
            with pytest.raises(Refused):
                await guest.do("resources/subscribe", uri=uri)


@pytest.mark.guarantee("audit:no-payload")
@pytest.mark.parametrize("kind", ["python-modern", "python-2025-11-25"])
@every_server
async def test_no_question_and_no_answer_is_kept(town, kind, alias):
    canary = Canary()
    word = canary.word
    answers = {
        ELICIT: [accept(place=word), {"action": "decline"}],
        SAMPLE: [said(word)],
        ROOTS: [roots(f"file:///{word}")],
    }
    async with visiting(kind, town.url(), town.ada, answers) as ada:
        assert word in await ada.call(f"{alias}__travel")
        assert word in await ada.call(f"{alias}__order", dish=word)
        assert word in await ada.call(f"{alias}__compose", topic=word)
        assert word in await ada.call(f"{alias}__look_around")
        await ada.do("resources/read", uri=f"{alias}+dish://{word}/recipe")
    town.leaves()
    kept = list(_files(town.gate))
    assert "gatelodge.db" in [name for name, _ in kept]
    assert not [name for name, held in kept for form in canary.forms(word) if form in held]


def _files(gate):
    """Each file of a gate that runs, and what stands in it; one that goes meanwhile is none."""
    yield "stderr", gate.stderr.encode()
    for file in gate.directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if file.is_file():
                yield file.name, file.read_bytes()
