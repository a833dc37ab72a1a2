"""A word put into all that goes beyond tools: prompts, URIs, completions, questions and the rest.

`Conversation` has a server of each era that puts the word into everything it says, and speaks to
both as a client of each era does. What came back is kept by what was done.
"""

import json
from typing import Any

from tests.integration.attacks.scene import EVERYTHING, META, Modern, Old, told
from tests.stage import Place, Servers
from tests.upstreams.library import QUESTION, Library
from tests.wire import Wire, until


class Conversation:
    """The servers go by the aliases `modern` and `legacy`."""

    def __init__(self, servers: Servers, word: str) -> None:
        self.word = word
        self.servers = servers
        self.libraries = [servers.open(Library(mark=word, era=era)) for era in ("modern", "legacy")]
        self.said: dict[str, str] = {}
        self.sealed: list[str] = []
        """States, task ids and cursors that were given out."""
        asked = {**QUESTION["params"], "message": word, word: word}  # type: ignore[dict-item]
        for library in self.libraries:
            library.question = {"method": "elicitation/create", "params": asked}
            for method in ("prompts/get", "resources/read", "completion/complete"):
                library.tools[f"refuse {method}"] = self._refuse

    def play(self, place: Place, token: str) -> None:
        """Everything that can be said, with the word in it."""
        for library in self.libraries:
            modern = Modern(place, token, can={**EVERYTHING, self.word: {self.word: {}}})
            old = Old(place, token)
            until(lambda client=modern, alias=library.era: _offers(client, alias))
            for who, client in (("modern", modern), ("legacy", old)):
                self._read(f"{who} {library.era}", client, library)
                self._hear(f"{who} {library.era}", client, library, place)
            self._ask_modern(f"modern {library.era}", modern, library.era)
            self._ask_legacy(f"legacy {library.era}", old, library.era, place)
        self._tasks(modern=Modern(place, token, can=EVERYTHING))
        self._batch(Old(place, token, version="2025-03-26"))

    def _read(self, says: str, client: Modern | Old, library: Library) -> None:
        """Prompts, resources, completions: answered, refused, unknown."""
        word, alias = self.word, library.era
        uri, plan = f"{alias}+doc://{word}", f"{alias}__plan"
        given = {word: word, "_meta": {f"{word}/x": word}}
        ref = {"type": "ref/prompt", "name": plan}
        asked: dict[str, dict[str, Any]] = {
            "prompts/get": {"name": plan, "arguments": {word: word}},
            "resources/read": {"uri": uri},
            "completion/complete": {"ref": ref, "argument": {"name": word, "value": word}},
        }
        for method, params in asked.items():
            self._keep(f"{says} {method}", client.request(method, {**params, **given}))
            library.methods[method] = library.tools[f"refuse {method}"]
            self._keep(f"{says} {method} refused", client.request(method, {**params, **given}))
            del library.methods[method]
        self.said.pop(f"{says} prompts/get", "")  # the prompt's words are its name
        for method, params in (
            ("prompts/get", {"name": word}),
            ("prompts/get", {"name": f"{alias}__{word}"}),
            ("resources/read", {"uri": f"none+{word}://{word}"}),
            ("completion/complete", {"ref": {"type": "ref/resource", "uri": word}, word: word}),
            ("completion/complete", {"ref": word}),
            (word, {word: word}),
        ):
            client.request(method, params)
        for method in ("prompts/list", "resources/list", "resources/templates/list"):
            listed = client.request(method, {}).json["result"]
            self.sealed += [listed["nextCursor"]] if "nextCursor" in listed else []
            client.request(method, {"cursor": word})

    def _hear(self, says: str, client: Modern | Old, library: Library, place: Place) -> None:
        """Log messages and progress of a call, and changes of a resource."""
        word, alias = self.word, library.era
        uri = f"{alias}+doc://{word}"
        meta = {"progressToken": word, f"{META}logLevel": "debug"}
        steps = {"name": f"{alias}__steps", "arguments": {"mark": word}, "_meta": meta}
        with Wire(place.gate.port) as wire:
            answer = wire.send(client.raw("tools/call", steps)).answer()
        assert len(answer.messages) == 3
        self._keep(f"{says} steps", answer)
        with Wire(place.gate.port) as wire:
            if isinstance(client, Modern):
                wanted = {"resourceSubscriptions": [uri, f"{word}:x"], word: word}
                wire.send(client.raw("subscriptions/listen", {"notifications": wanted})).head()
                self.said[f"{says} listen"] = json.dumps(told(wire))
            else:
                wire.send(client.stream()).head()
                client.request("resources/subscribe", {"uri": uri, word: word})
                client.request("resources/subscribe", {"uri": word})
                client.request("logging/setLevel", {"level": word})
            until(lambda: any(word.encode() in seen.body for seen in _watching(library)))
            self.servers.say(library, "notifications/resources/updated", uri=f"doc://{word}")
            self.said[f"{says} updated"] = json.dumps(told(wire))
        if isinstance(client, Old):
            client.request("resources/unsubscribe", {"uri": uri})

    def _ask_modern(self, says: str, client: Modern, alias: str) -> None:
        """Questions that are answered, answered badly, and left alone."""
        word, tool = self.word, f"{alias}__ask"
        asked = client.ask(tool, **{word: word})
        self.said[f"{says} question"] = json.dumps(asked)
        answers = {
            key: {"action": "accept", "content": {word: word}} for key in asked["inputRequests"]
        }
        self.sealed.append(asked["requestState"])
        answer = client.retry(tool, asked, inputResponses=answers, arguments={word: word})
        assert answer.json["result"]["content"][0]["text"] == "told"
        client.retry(tool, asked, requestState=word, inputResponses={word: {word: word}})
        client.retry(tool, asked, inputResponses={word: word})
        self.sealed.append(client.ask(tool, **{word: word})["requestState"])

    def _ask_legacy(self, says: str, client: Old, alias: str, place: Place) -> None:
        """The same on a stream, and answers to what nobody asked."""
        word = self.word
        call = {"name": f"{alias}__ask", "arguments": {word: word}}
        for answer in (
            {"result": {"action": "accept", "content": {word: word}}},
            {"error": {"code": -1, "message": word, "data": {word: word}}},
            {"result": word},
        ):
            with Wire(place.gate.port) as wire:
                wire.send(client.raw("tools/call", call, word)).head()
                question = told(wire)
                self.said[f"{says} question"] = json.dumps(question)
                client.say({"jsonrpc": "2.0", "id": question["id"], **answer})
                told(wire)
            client.say({"jsonrpc": "2.0", "id": word, **answer})

    def _tasks(self, modern: Modern) -> None:
        """A task whose id, answers and words hold the word; and ids that are none."""
        word = self.word
        result = modern.call("modern__task", {word: word}).json["result"]
        self.said["task"] = json.dumps(result)
        self.sealed.append(result["taskId"])
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            answers = {word: {"action": "accept", "content": {word: word}}}
            params = {"taskId": result["taskId"], "inputResponses": answers}
            self._keep(method, modern.request(method, params))
            modern.request(method, {"taskId": word})

    def _batch(self, old: Old) -> None:
        """Several messages at once, good and bad."""
        word = self.word
        call = {"name": "modern__echo", "arguments": {word: word}}
        batch = [
            {"jsonrpc": "2.0", "id": word, "method": "tools/call", "params": call},
            {"jsonrpc": "2.0", "id": 1, "method": word},
            {"jsonrpc": "2.0", "method": word, "params": {word: word}},
            {"jsonrpc": "2.0", "id": word, "result": {word: word}},
            word,
        ]
        sent = {"mcp-session-id": old.session}
        self._keep("batch", old.post(json.dumps(batch).encode(), sent))

    def _keep(self, says: str, answer: Any) -> None:
        self.said[says] = answer.body.decode()

    def _refuse(self, talk: Any) -> None:
        word = self.word
        error = {"code": -32602, "message": word, "data": {"uri": f"doc://{word}", word: word}}
        talk.answer("200 OK", {"jsonrpc": "2.0", "id": talk.seen.message["id"], "error": error})


def _offers(client: Modern, alias: str) -> bool:
    listed = client.request("prompts/list", {}).json["result"]["prompts"]
    return any(each["name"].startswith(f"{alias}__") for each in listed)


def _watching(library: Library) -> list[Any]:
    """What a server was asked to watch."""
    methods = ("subscriptions/listen", "resources/subscribe")
    return [seen for method in methods for seen in library.of(method)]
