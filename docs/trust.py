"""The page of the trust score, from the file that the score is computed by."""

from gatelodge.config.trust import trust_method

_ABOUT = """# Trust score

`gatelodge catalog card SOURCE` gathers evidence about a package, scores it, and keeps both.
Nothing of the package runs for it. The score is a pure function of evidence, method and time
([decision 0044](../decisions/0044-trust-is-evidence-first.md)): whoever has the evidence computes
the same card, and the log names its digest (`card.made`, `card.approved`).

- **Score** = 100 x points earned / points that are known. What is not known is neither good nor
  bad: it lowers *coverage*, and widens the *interval* between the score if all of it were bad,
  and if all were good.
- **Gates** cap the grade whatever the score is; the worst is the headline.
- **Exposure** has no points: R reads, W writes, N reaches out, X runs code or a browser, S holds
  secrets.
- Stars and downloads are not read.
- Evidence that is older than its time counts as *old*, and after {stale} times that time as not
  known."""


def trust_page() -> str:
    """Every signal with its points, its source and its time; grades and gates."""
    from gatelodge.core.trust.method import STALE_TIMES

    method = trust_method()
    lines = ["<!-- Made by docs/generate.py; write there, not here. -->"]
    lines.append(_ABOUT.format(stale=STALE_TIMES))
    lines += ["", f"The method of this release is `{method.name}`.", "", "## Grades", ""]
    lines += ["| grade | least score | least coverage, in per cent |", "|---|---|---|"]
    for grade, least in method.grades.items():
        lines.append(f"| {grade} | {least} | {method.coverage.get(grade, method.coverage['B'])} |")
    lines += ["| F | 0 | |", f"| ? | | less than {method.coverage['B']} known |"]
    lines += ["", "## Gates", "", "| gate | no better than |", "|---|---|"]
    lines += [f"| {name} | {grade} |" for name, grade in method.gates.items()]
    for family, title in method.families.items():
        rules = {name: each for name, each in method.signals.items() if each.family == family}
        points = sum(each.points for each in rules.values())
        lines += ["", f"## {title} ({points} points)", ""]
        lines += ["| signal | points | read from | fresh for | OWASP |", "|---|---|---|---|---|"]
        for name, each in rules.items():
            fresh = f"{each.hours} h" if each.hours else "this version"
            what = f"{name}: {each.title}"
            lines.append(f"| {what} | {each.points} | {each.section} | {fresh} | {each.owasp} |")
    return "\n".join(lines) + "\n"
