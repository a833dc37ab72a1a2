"""`gatelodge audit`: what happened, and its proof. Verifying needs no gate and no network."""

from gatelodge.cli.lazy import LazyCommand, LazyGroup

audit = LazyGroup(
    "audit",
    {
        "tail": LazyCommand(
            "gatelodge.cli.record.reading:tail", "Show the newest records; -f follows."
        ),
        "search": LazyCommand("gatelodge.cli.record.reading:search", "Find records."),
        "show": LazyCommand("gatelodge.cli.record.reading:show", "Show all records of one call."),
        "changes": LazyCommand(
            "gatelodge.cli.record.changes:changes", "Show who granted, approved, revoked what."
        ),
        "activity": LazyCommand(
            "gatelodge.cli.record.activity:activity", "Count the calls of the last hours."
        ),
        "keeping": LazyCommand(
            "gatelodge.cli.record.activity:keeping", "Show how the logs are kept and signed."
        ),
        "prove": LazyCommand(
            "gatelodge.cli.record.proving:prove", "Write a proof of a call to a file."
        ),
        "verify": LazyCommand("gatelodge.cli.record.verify:verify", "Check a proof, offline."),
        "fsck": LazyCommand("gatelodge.cli.record.proving:fsck", "Check every log against itself."),
        "growth": LazyCommand(
            "gatelodge.cli.record.proving:growth", "Print the proof that a log only grew."
        ),
        "index": LazyCommand(
            "gatelodge.cli.record.index:index", "Show how far the search index is."
        ),
        "key": LazyCommand(
            "gatelodge.cli.record.proving:key", "Print the key that signs the logs."
        ),
    },
    help="What happened, and its proof.",
)
