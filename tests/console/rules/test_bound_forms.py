"""A form about a server changes the server that its page showed, or none; no value is shown."""

import threading
from collections.abc import Iterator

import pytest
from tests.console.pages import Visitor
from tests.console.rules.test_adding_servers import filled, shown
from tests.integration.admin_house import House, W

from gatelodge.web.console.forms import FormOutcome, SentForm

URL = "https://mail.example.com/mcp"
VALUE = "canary-5ea1-value"


@pytest.fixture(scope="module")
def admin(house: House) -> Visitor:
    made = Visitor(house)
    assert made.enter(house.tokens["admin"]).status == 204
    return made


@pytest.fixture
def mail(house: House) -> Iterator[str]:
    """A server as the API has it, with a tag."""
    wanted = {"alias": "mail", "transport": {"type": "http", "url": URL}, "tags": ["a"]}
    house.ok("POST", f"{W}/servers", wanted)
    yield "/servers/mail"
    house.ok("POST", f"{W}/servers/mail/remove", {})


def edit(house: House, wish: dict[str, object]) -> None:
    house.ok("POST", f"{W}/servers/mail/edit", wish)


@pytest.mark.parametrize(
    "meanwhile",
    [{"tags": ["a", "finance"]}, {"call_seconds": 7}, {"hidden_capabilities": ["roots"]}],
)
def test_a_page_of_before_takes_nothing_back_that_somebody_changed_since(
    house: House, admin: Visitor, mail: str, meanwhile: dict[str, object]
) -> None:
    sent = filled(admin.page(mail), "/edit")
    wish = {**sent, "tags": "a\nblue", "call_seconds": "9", "hide_sampling": "yes"}
    edit(house, meanwhile)
    before = shown(house)
    for do in ("preview", "edit"):
        told = admin.send(f"{mail}/edit", **wish, do=do)
        page = told.body.decode()
        assert (told.status, "Load the page again" in page) == (409, True)
        # What was typed stays, and so does what it was typed about: sent again it is refused again.
        assert filled(page, "/edit") == wish
    assert shown(house) == before
    fresh = {**filled(admin.page(mail), "/edit"), "call_seconds": "9"}
    assert admin.send(f"{mail}/edit", **fresh).status == 303
    assert (shown(house)["tags"], shown(house)["timing"]["call_seconds"]) == (before["tags"], 9)


def test_a_form_that_does_not_say_what_was_shown_changes_nothing(
    house: House, admin: Visitor, mail: str
) -> None:
    sent = {**filled(admin.page(mail), "/edit"), "tags": "b"}
    del sent["description"]
    told = admin.send(f"{mail}/edit", **sent)
    assert (told.status, shown(house)["tags"]) == (400, ["a"])


def test_a_secret_goes_to_no_place_that_the_page_did_not_show(
    house: House, admin: Visitor, mail: str
) -> None:
    sent = {**filled(admin.page(mail), "/secret"), "name": "X-Key", "value": VALUE}
    edit(house, {"url": "https://elsewhere.example.com/mcp"})
    told = admin.send(f"{mail}/secret", **sent)
    assert (told.status, "Load the page again" in told.body.decode()) == (409, True)
    assert shown(house)["transport"]["headers"] == {}
    assert house.ask("GET", f"{W}/secrets/mail-X-Key").status == 404


def test_of_two_who_give_a_secret_of_one_name_one_does(
    house: House, admin: Visitor, mail: str
) -> None:
    other = {"alias": "mail2", "transport": {"type": "http", "url": URL}}
    house.ok("POST", f"{W}/servers", other)
    paths = (mail, "/servers/mail2")
    forms = [{**filled(admin.page(path), "/secret"), "secret": "shared-key"} for path in paths]
    together = threading.Barrier(2)
    found: list[int] = []

    def give(path: str, form: dict[str, str]) -> None:
        together.wait(20)
        sent = {**form, "name": "X-Key", "value": f"{VALUE}{path}"}
        found.append(admin.send(f"{path}/secret", **sent).status)

    givers = [threading.Thread(target=give, args=each) for each in zip(paths, forms, strict=True)]
    for each in givers:
        each.start()
    for each in givers:
        each.join(30)
    kept = house.ok("GET", f"{W}/secrets/shared-key")
    assert (sorted(found), len(kept["servers"]), kept["values"]) == ([303, 409], 1, 1)
    leaves = house.ok("GET", f"{W}/audit/changes?type=secret.rotated")["items"]
    assert not [each for each in leaves if each["subject"] == kept["id"]]
    house.ok("POST", f"{W}/servers/mail2/remove", {})
    house.ok("DELETE", f"{W}/secrets/shared-key")


def test_a_value_that_was_typed_is_shown_in_no_answer(
    house: House, admin: Visitor, mail: str
) -> None:
    typed = f"X-Key={VALUE}\nX-Ref=Bearer vault:other\n{VALUE}"
    url = f"https://ada:{VALUE}@x.example/mcp?key={VALUE}&{VALUE}"
    told = admin.send("/servers", alias="Bad Alias", url=url, headers=typed).body.decode()
    assert VALUE not in told
    assert "typed anew" in told
    again = filled(told, "/servers")
    assert again["headers"] == "X-Key=\nX-Ref=Bearer vault:other"
    assert again["url"] == "https://***@x.example/mcp?key=***&=***"
    sent = filled(admin.page(mail), "/edit")
    wish = {**sent, "url": f"{URL}?key={VALUE}", "headers": f"X-Key={VALUE}", "do": "preview"}
    told = admin.send(f"{mail}/edit", **wish).body.decode()
    assert ("What this would change" in told, VALUE in told) == (True, False)
    # What was hidden is refused when it comes back: no change is left out unseen.
    for part in ("url", "headers"):
        once_more = {**sent, part: filled(told, "/edit")[part]}
        assert admin.send(f"{mail}/edit", **once_more).status == 400, part


def test_what_was_typed_is_not_told_where_a_form_is_told_of() -> None:
    sent = SentForm({"value": (VALUE,)})
    assert VALUE not in repr(sent) + repr(FormOutcome(form="secret", typed=sent.typed))
