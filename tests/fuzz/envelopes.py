"""Bodies at the endpoint: each is a message or is refused as one, and none holds the loop.

`python -m tests.fuzz.envelopes` runs for an hour, or for `GATELODGE_FUZZ_SECONDS`.
"""

import random

from tests.fuzz.json_texts import mutated, piece
from tests.fuzz.oracles import STALL, Stall, finds, from_terminal, stood_still

from gatelodge.core.protocol.bridge.batch import is_batch, split_batch
from gatelodge.core.protocol.bridge.questions import read_retry
from gatelodge.core.protocol.capabilities import declared
from gatelodge.core.protocol.envelope import ClientMessage, MessageFault, read_message
from gatelodge.core.protocol.era import check_modern, client_era, client_text, said_of_itself
from gatelodge.core.protocol.upstream import request_bytes

LARGEST = 4 * 1024 * 1024
KEPT_MIB = 200
_OURS = "io.modelcontextprotocol/"
METHODS = (
    "tools/call", "tools/list", "initialize", "ping", "prompts/get", "resources/read", "odd/method",
    "notifications/cancelled", "subscriptions/listen", "completion/complete", "server/discover",
)  # fmt: skip
MEMBERS = ("name", "arguments", "cursor", "uri", "requestState", "inputResponses", "clientInfo")
META = (f"{_OURS}clientCapabilities", f"{_OURS}clientInfo", "progressToken", f"{_OURS}logLevel")


def _object(dice: random.Random, members: dict[str, bytes]) -> bytes:
    colon, comma = dice.choice(((b":", b","), (b" : ", b" , ")))
    pairs = [b'"%b"%b%b' % (name.encode(), colon, text) for name, text in members.items()]
    if pairs and dice.random() < 0.05:
        pairs.append(dice.choice(pairs))
    return b"{" + comma.join(pairs) + b"}"


def _some(dice: random.Random, names: tuple[str, ...], heaviest: int) -> dict[str, bytes]:
    return {name: piece(dice, heaviest) for name in names if dice.random() < 0.3}


def body(dice: random.Random, largest: int = LARGEST) -> bytes:
    """One body."""
    meta = {f"{_OURS}protocolVersion": b'"2026-07-28"'} if dice.random() < 0.6 else {}
    meta = {**meta, f"{_OURS}clientCapabilities": b"{}"} | _some(dice, META, largest // 4)
    params = {"name": b'"git__log"', "_meta": _object(dice, meta)}
    params |= _some(dice, MEMBERS, largest // 4)
    message = {"jsonrpc": b'"2.0"', "id": dice.choice((b"1", b"-7", b'"a"', b"null", b"1.0"))}
    if dice.random() < 0.1:
        message |= {"result": piece(dice, largest), "error": piece(dice, 1_000)}
    else:
        message |= {"method": b'"%b"' % dice.choice(METHODS).encode()}
        message |= {"params": _object(dice, params)}
    for name in [each for each in message if dice.random() < 0.03]:
        message[name] = piece(dice, 1_000)
    text = _object(dice, {k: v for k, v in message.items() if dice.random() > 0.02})
    if dice.random() < 0.05:
        text = b"[" + b",".join([text] * dice.choice((1, 3, 50))) + b"]"
    return mutated(dice, text)[:largest]


def _read(text: bytes) -> None:
    """All that is read of a body before it is known what it is for."""
    if is_batch(text):
        for part in split_batch(text, 50):
            read_message(part, 128)
        return
    message = read_message(text, 128)
    if not isinstance(message, ClientMessage):
        return
    declared(message.meta.get(f"{_OURS}clientCapabilities"))
    client_text(bytes(said_of_itself(message) or b"{}"))
    read_retry(message.params)
    if client_era("2026-07-28", message) == "modern":
        headers = {b"mcp-protocol-version": b"2026-07-28", b"mcp-method": message.method.encode()}
        check_modern(message, headers)
    request_bytes(1, message.method, message.params, b"{}")


async def visit(dice: random.Random) -> list[str]:
    """One body; what was wrong."""
    text, faults = body(dice), []
    with stood_still() as took:
        try:
            _read(text)
        except MessageFault:
            pass
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            faults.append(repr(error)[:200])
    if took[0] > STALL:
        faults.append(Stall(f"held the loop for {took[0] * 1000:.0f} ms ({len(text)} bytes)"))
    return faults


async def fuzz(seconds: float, seed: int) -> list[str]:
    """Run for so long; what was found, each with the seed that finds it again."""
    return await finds(seconds, seed, visit, KEPT_MIB)


if __name__ == "__main__":
    from_terminal(fuzz)
