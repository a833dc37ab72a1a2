"""Run the benchmark.

    python -m bench [--targets a,b] [--rounds 3] [--seconds 2] [--connections 1,32,256]
                    [--era modern|legacy] [--answer BYTES] [--delay-ms MS]
                    [--json FILE] [--from FILE] [--write]
    python -m bench hosting [--starts N] [--rounds N] [--cold N] [--write]
    python -m bench access [--leaves N] [--people N] [--servers N] [--write]
    python -m bench watching [--rounds N] [--seconds N] [--streams N] [--write]
    python -m bench search [--records N] [--engine NAME] [--postgres URL] [--write]
    python -m bench access-pages [--shots FOLDER] [--write]

Without any option it is the whole benchmark, and writes docs/performance.md and its picture; a
narrower run prints its page, and writes it only with --write.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import BUILD, LOAD_CORE, ROOT, report
from bench.access.past import measure_past
from bench.hosting.report import kept_section
from bench.hosting.run import measure_hosting
from bench.prepare import prepare
from bench.results import Results
from bench.run import Plan, Run
from bench.search.run import measure_search
from bench.targets import Target, every_target
from bench.watching import measure_watching


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--targets", help="names, comma between; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", default="1,32,256")
    parser.add_argument("--era", choices=("modern", "legacy"), default="modern")
    parser.add_argument("--answer", type=int, default=110, help="bytes of the upstream's answer")
    parser.add_argument("--delay-ms", type=int, default=0, help="until the upstream answers")
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--from", dest="source", type=Path, help="report on such a file again")
    parser.add_argument("--write", action="store_true", help="write docs/performance.*")
    return parser.parse_args()


def _chosen(names: str | None) -> Sequence[Target]:
    targets = {target.name: target for target in every_target()}
    if names is None:
        return list(targets.values())
    unknown = set(names.split(",")) - set(targets)
    if unknown:
        sys.exit(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    return [targets[name] for name in names.split(",")]


def _measure(arguments: argparse.Namespace) -> Results:
    targets = _chosen(arguments.targets)
    prepare()
    plan = Plan(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        connections=[int(n) for n in arguments.connections.split(",")],
        era=arguments.era,
        answer_bytes=arguments.answer,
        delay_ms=arguments.delay_ms,
    )
    os.sched_setaffinity(0, {LOAD_CORE})
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=BUILD))
    results = Run(plan, targets, folder).whole()
    if not results.failures and all(subject.missing is None for subject in results.subjects):
        shutil.rmtree(folder)  # else the targets' logs are wanted
    return results


def main() -> None:
    if sys.argv[1:2] == ["hosting"]:
        measure_hosting(sys.argv[2:])
        return
    if sys.argv[1:2] == ["access"]:
        measure_past(sys.argv[2:])
        return
    if sys.argv[1:2] == ["watching"]:
        measure_watching(sys.argv[2:])
        return
    if sys.argv[1:2] == ["search"]:
        measure_search(sys.argv[2:])
        return
    if sys.argv[1:2] == ["access-pages"]:
        # Playwright is there for tests: who measures calls alone needs none.
        from bench.access.pages import measure_pages

        measure_pages(sys.argv[2:])
        return
    arguments = _arguments()
    BUILD.mkdir(parents=True, exist_ok=True)
    if arguments.source:
        results = msgspec.json.decode(arguments.source.read_bytes(), type=Results)
    else:
        results = _measure(arguments)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    page = report.page(results, report.read_view(BUILD / "view.json"))
    if arguments.write or len(sys.argv) == 1:
        (ROOT / "docs").mkdir(exist_ok=True)
        written = ROOT / "docs" / "performance.md"
        hosting = kept_section(written)
        written.write_text(f"{page}\n{hosting}" if hosting else page)
        (ROOT / "docs" / "performance.svg").write_text(report.chart(results))
    else:
        print(page)


if __name__ == "__main__":
    main()
