"""What a tool complained of is told without what helps nobody."""

from gatelodge.adapters.runtime.packages import npm
from gatelodge.adapters.runtime.packages.tools import ToolOutcome, without_credentials

SAID = b"""npm error code E404
npm error 404 Not Found - GET https://user:word@packages.example/no-such
npm error A complete log of this run can be found in: /gone/_logs/debug-0.log
"""


def test_what_npm_complains_of_names_no_file_that_is_gone_and_no_credential():
    told = npm._failure_of("no-such@1.0.0", ToolOutcome(status=1, output=b"", errors=SAID)).detail
    assert told == (
        "there is no no-such@1.0.0: code E404 404 Not Found - GET https://***@packages.example/no-such"
    )


def test_a_lock_is_kept_without_what_opened_its_addresses():
    lock = b'{"resolved": "https://kay:word@packages.example/@acme/tool/-/tool-1.tgz"}'
    kept = b'{"resolved": "https://packages.example/@acme/tool/-/tool-1.tgz"}'
    assert without_credentials(lock) == kept
    assert without_credentials(kept) == kept
