"""The page of the definition lint: what each rule finds on the corpus, counted as it is written."""

import json
from collections import Counter

from tests.corpus.planted import OTHERS, PLANTED
from tests.corpus.test_lint import BENIGN

from gatelodge.core.catalog.lint import LINT, RULES, lint_definitions

_ABOUT = """# Definition lint

Every string of a server's definitions is looked through for what misleads a model or hides from a
reader; what is found stands on the trust card of the server. The corpus is `tests/corpus`: real
servers, none of which is poisoned, and definitions that were planted. *Precision* is how many of
the tools in which a rule finds something are planted ones; *found* is how many of those planted
for it the rule finds. A rule of high severity has found nothing in a real server, which a test
holds."""


def lint_page() -> str:
    """Every rule with its severity, its reason and its figures on the corpus."""
    servers = json.loads(BENIGN.read_text("utf-8"))
    wrong: Counter[str] = Counter()
    tools = 0
    for server in servers:
        others = {e["name"] for one in servers if one is not server for e in one["tools"]}
        texts = [json.dumps(each, ensure_ascii=False) for each in server["tools"]]
        tools += len(texts)
        found = lint_definitions(texts, server["instructions"], others)
        wrong.update(rule for rule, _ in {(each.rule, each.tool) for each in found})
    right: Counter[str] = Counter()
    met: Counter[str] = Counter()
    for rule, text in PLANTED:
        rules = {each.rule for each in lint_definitions([text], "", OTHERS)}
        right.update(rules)
        met[rule] += rule in rules
    planted = Counter(rule for rule, _ in PLANTED)
    lines = ["<!-- Made by docs/generate.py; write there, not here. -->", _ABOUT, ""]
    lines.append(
        f"The lint of this release is `{LINT}`; {tools} tools of {len(servers)} real servers:"
    )
    names = (f"{each['server']} {each['version']} ({each['license']})" for each in servers)
    lines += [", ".join(names) + f". {len(PLANTED)} definitions are planted.", ""]
    lines += ["| rule | severity | what it finds | found | precision | OWASP |"]
    lines += ["|---|---|---|---|---|---|"]
    for each in RULES:
        good, bad = right[each.name], wrong[each.name]
        precision = f"{100 * good // (good + bad)} %" if good + bad else "-"
        told = f"{met[each.name]} of {planted[each.name]}"
        lines.append(
            f"| `{each.name}` | {each.severity} | {each.why} | {told} | {precision} "
            f"| {each.owasp} |"
        )
    return "\n".join(lines) + "\n"
