"""`gatelodge audit`: what happened, and its proof. Verifying needs no gate and no network."""

from gatelodge.cli.lazy import Later, LazyGroup

audit = LazyGroup(
    "audit",
    {
        "tail": Later("gatelodge.cli.record.reading:tail", "Show the newest records; -f follows."),
        "search": Later("gatelodge.cli.record.reading:search", "Find records."),
        "show": Later("gatelodge.cli.record.reading:show", "Show all records of one call."),
        "changes": Later(
            "gatelodge.cli.record.changes:changes", "Show who granted, approved, revoked what."
        ),
        "prove": Later("gatelodge.cli.record.proving:prove", "Write a proof of a call to a file."),
        "verify": Later("gatelodge.cli.record.verify:verify", "Check a proof, offline."),
        "fsck": Later("gatelodge.cli.record.proving:fsck", "Check every log against itself."),
        "key": Later("gatelodge.cli.record.proving:key", "Print the key that signs the logs."),
    },
    help="What happened, and its proof.",
)
