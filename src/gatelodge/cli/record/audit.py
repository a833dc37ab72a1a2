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
        "prove": LazyCommand(
            "gatelodge.cli.record.proving:prove", "Write a proof of a call to a file."
        ),
        "verify": LazyCommand("gatelodge.cli.record.verify:verify", "Check a proof, offline."),
        "fsck": LazyCommand("gatelodge.cli.record.proving:fsck", "Check every log against itself."),
        "key": LazyCommand(
            "gatelodge.cli.record.proving:key", "Print the key that signs the logs."
        ),
    },
    help="What happened, and its proof.",
)
