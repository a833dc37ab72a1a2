"""What looks like a key, and what stands for a value that is asked for elsewhere.

In doubt a value is a secret: one that is none costs a reference, one that was taken for none is
told to whoever reads the list.
"""

import re
from itertools import pairwise
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

SECRET_WORD: Final = re.compile(
    r"TOKEN|KEY|SECRET|PASS|PWD|AUTH|CREDENTIAL|COOKIE|DSN|PRIVATE|CONNECTION|SIGNATURE|SESSION"
    r"|BEARER|WEBHOOK|(?:\b|_)PW\b|\bPAT\b|_PAT\b|\bSIG\b|\bPIN\b",
    re.IGNORECASE,
)
"""A name of a variable, a header or an option whose value is taken for a secret."""

_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk[-_]|gh[opsur]_|github_pat_|glpat-|xox[a-z]-|xapp-|AKIA|ASIA|AIza|ya29\."
    r"|eyJ|hf_|dop_v1_|shp[a-z]{2}_|lin_api_|ATATT|ATCTT|whsec_|tvly-|gsk_|dckr_pat_|hvs\.|gtl_"
    r"|AGE-SECRET-KEY-|-----BEGIN )[A-Za-z0-9_\-.=+/ ]{8,}"
    # These begin words too: a digit has to follow.
    r"|(?:[pr]k[-_]|gl[a-z]{2,5}-|npm_|pypi-|ntn_|secret_|SG\.|key-|EAA|sntrys?_|fc-|r8_|figd_|pat"
    r"|sq0[a-z]{3}-|NRAK-|PMAK-|amzn\.|rnd_|re_|sbp_|ops_|vercel_|ph[cx]_|jina_|pplx-|xai-|pcsk_"
    r"|cfut_|s\.)(?=[A-Za-z_\-.=+/]*[0-9])[A-Za-z0-9_\-.=+/]{12,})"
)
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_BASE64 = re.compile(r"[A-Za-z0-9+_-][A-Za-z0-9+/_-]{30,}={0,2}")
_CLASS = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s@]+@")
_BOOLEAN = re.compile(r"true|false|yes|no|on|off|none|null|0|1", re.IGNORECASE)
_COUNTED = re.compile(
    r"TOKENS?_?(?:LIMIT|COUNT|MAX)|(?:MAX|NUM|LIMIT)\w*_TOKENS?|TOKENS\b", re.IGNORECASE
)
_ORDINARY = re.compile(
    r"(?:\w+[_-])?(?:LOG|LOGLEVEL|LEVEL|DEBUG|VERBOSE|MODE|ENV|ENVIRONMENT|HOST|HOSTNAME|PORT|REGION"
    r"|ZONE|TRANSPORT|TZ|TIMEZONE|LANG|LANGUAGE|LOCALE|URL|URI|ENDPOINT|DIR|PATH|FORMAT|TIMEOUT|MODEL"
    r"|VERSION|ENABLED|DISABLED|SIZE|LIMIT|READONLY|READ_ONLY|TOOLSETS|TOOLS|TYPE)"
    r"|ACCEPT|CONTENT-TYPE|USER-AGENT|ACCEPT-LANGUAGE",
    re.IGNORECASE,
)
"""Names whose values say how a program runs, and are no secret unless they look like one."""
_NUMBER = re.compile(r"[0-9]{1,7}")
_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_PLACEHOLDER = re.compile(
    rf"\$\{{\{{\s*(?:(?:secrets|inputs|env|vars)\.)?(?P<double>{_NAME})\s*\}}\}}"
    rf"|\$\{{(?:(?:env|input|inputs|secret|secrets|promptString|command|config):)?(?P<curly>{_NAME})"
    rf"(?::?[-=?+](?P<usual>[^{{}}]*))?\}}"
    rf"|\{{(?:env|file|secret|input):(?P<braced>[^{{}}\s]{{1,200}})\}}"
    rf"|\$(?P<plain>[A-Za-z_]\w*)|%(?P<percent>[A-Za-z_]\w*)%|<(?P<angled>[A-Za-z][\w .-]{{0,60}})>"
)
_BEFORE = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,31} +)(\S+)")
_TRANSITIONS = 0.3


class AskedValue(Struct, frozen=True):
    """A value that a placeholder stands for; `before` is the text in front of it."""

    name: str
    before: str = ""


def asked_value(text: str) -> AskedValue | None:
    """The input that a whole value is; None for a literal and for more than one word before it."""
    before, rest = "", text.strip()
    worded = _BEFORE.fullmatch(rest)
    if worded and _PLACEHOLDER.fullmatch(worded[2]):
        before, rest = worded[1], worded[2]
    found = _PLACEHOLDER.fullmatch(rest)
    return AskedValue(input_name(found), before) if found else None


def input_name(found: re.Match[str]) -> str:
    """What a placeholder asks for, as a name that a secret may have."""
    name = next(each for k, each in found.groupdict().items() if k != "usual" and each)
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    return plain[:60] if plain[:1].isalpha() else f"V_{plain[:58]}"


def holds_placeholder(text: str) -> bool:
    """True when some part of the text is asked for elsewhere."""
    return _PLACEHOLDER.search(text) is not None


def key_shaped(text: str) -> bool:
    """True for a text that looks like a key by itself, whatever it is called."""
    if _PREFIXED.search(text) or _UUID.search(text) or _LOGIN.search(text):
        return True
    if any(_mixed(run) for run in _RUN.findall(text)):
        return True
    whole = _BASE64.fullmatch(text)
    return bool(whole) and all(each.search(text) for each in _CLASS)


def plain_setting(name: str, text: str) -> bool:
    """True for a value that may be shown: of a name that is no secret's, and plain by itself.

    Whatever is not known to be ordinary is not: a password of one word looks like any other word.
    """
    if not text or _BOOLEAN.fullmatch(text):
        return True
    if secret_literal(name, text):
        return False
    return bool(_NUMBER.fullmatch(text) or _ORDINARY.fullmatch(name))


def secret_literal(name: str, text: str) -> bool:
    """True when the value of that name is to be hidden."""
    if not text or _BOOLEAN.fullmatch(text):
        return False
    if _COUNTED.search(name) and _NUMBER.fullmatch(text):
        return False
    return bool(SECRET_WORD.search(name)) or key_shaped(text) or _url_shows_secret(text)


def split_scheme(text: str) -> tuple[str, str]:
    """The word before a value (`Bearer `), and the value."""
    found = _BEFORE.fullmatch(text)
    return (found[1], found[2]) if found else ("", text)


def hidden_in_url(url: str) -> list[tuple[str, str]]:
    """Each part of a URL that looks like a key: what it is called there, and its text."""
    parts = _split(url)
    if parts is None:
        return [("url", url)]
    found = list[tuple[str, str]]()
    login = parts.netloc.rpartition("@")[0]
    if login:
        found.append(("login", login))
    for what in (parts.query, parts.fragment):
        pairs = _pairs(what)
        found += [(k, v) for k, v in pairs if v and secret_literal(k, v)]
        if what and not pairs:
            found += [("query", what)] if key_shaped(unquote(what)) else []
    # Some services take their key as a folder of the path.
    found += [("path", each) for each in parts.path.split("/") if _hides_secret(each)]
    return found


def url_without_secrets(url: str) -> str:
    """The URL with stars for login, query values and folders that look like keys."""
    parts = _split(url)
    if parts is None:
        return "***"
    path = "/".join("***" if _hides_secret(each) else each for each in parts.path.split("/"))
    host = parts.netloc.rpartition("@")[2]
    login = "***@" if "@" in parts.netloc else ""
    query = "?***" if parts.query else ""
    fragment = "#***" if parts.fragment else ""
    return f"{parts.scheme}://{login}{host}{path}{query}{fragment}"


def _url_shows_secret(text: str) -> bool:
    return "://" in text and bool(hidden_in_url(text))


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values of a query; some services part them by semicolons. Raises ValueError."""
    plain = text.replace(";", "&")
    return parse_qsl(plain, keep_blank_values=True, max_num_fields=256) if plain else []


def _hides_secret(folder: str) -> bool:
    """True for a folder of a path that looks like a key, or that names one (`mcp;token=...`)."""
    if key_shaped(unquote(folder)):
        return True
    named = [each.partition("=") for each in folder.split(";")]
    return any(sign and secret_literal(name, value) for name, sign, value in named)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    try:
        # Too many fields raise; a port that is no number is for whoever connects.
        _pairs(parts.query)
        _pairs(parts.fragment)
    except ValueError:
        return None
    return parts


def _mixed(run: str) -> bool:
    """True for letters and digits in an order that no word has."""
    kinds = [0 if each.islower() else 1 if each.isupper() else 2 for each in run]
    if 2 in kinds and len(set(kinds)) > 1:
        return True
    changes = sum(a != b for a, b in pairwise(kinds))
    return len(run) >= 20 and changes / len(run) >= _TRANSITIONS
