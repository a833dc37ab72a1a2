"""What `/metrics` says, read as Prometheus reads it."""

import http.client
from collections import Counter
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain
from tests.gate import WAIT, Answer, Gate

from gatelodge.cli.client import _connect_unix_socket

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
"""What Prometheus sends."""


class Scrape:
    """One answer of `/metrics`, parsed; `kinds` has every metric with its type."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.text = answer.body.decode()
        openmetrics = answer.headers["content-type"].startswith("application/openmetrics-text")
        families = list((read_openmetrics if openmetrics else read_plain)(self.text))
        self.kinds = {each.name: each.type for each in families}
        self.samples = [sample for each in families for sample in each.samples]

    def number(self, name: str, **labels: str) -> float | None:
        """The one sample of that name with exactly these labels."""
        found = [s.value for s in self.samples if s.name == name and s.labels == labels]
        assert len(found) < 2, (name, labels)
        return found[0] if found else None

    def by(self, name: str, label: str, **labels: str) -> Counter[str]:
        """The samples of that name with these labels, added up by one more label."""
        found: Counter[str] = Counter()
        for sample in self.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                found[sample.labels[label]] += int(sample.value)
        return found

    @property
    def workspaces(self) -> set[str]:
        """Every workspace that is named."""
        return {each.labels["workspace"] for each in self.samples if "workspace" in each.labels}


def get(gate: Gate, path: str, token: str = "", *, local: bool = False, **headers: str) -> Answer:
    """Ask for a path of the port, or of the local socket."""
    link = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=WAIT)
    given: dict[str, Any] = {"authorization": f"Bearer {token}"} if token else {}
    if local:
        link.sock = _connect_unix_socket(gate.directory / "run" / "admin.sock", WAIT)
    try:
        link.request("GET", path, None, {**given, **headers})
        response = link.getresponse()
        kept = {k.lower(): v for k, v in response.getheaders()}
        return Answer(response.status, kept, response.read())
    finally:
        link.close()


def scrape(gate: Gate, token: str = "", *, local: bool = False, **headers: str) -> Scrape:
    """Scrape; it must be allowed."""
    answer = get(gate, "/metrics", token, local=local, **headers)
    assert answer.status == 200, answer.body
    return Scrape(answer)
