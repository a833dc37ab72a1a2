"""The two ways in which this room says no.

Their texts name the rule that was broken and never repeat what was read, so they may be shown.
"""


class MalformedValue(Exception):
    """The value is not in its strict form, whoever made it."""


class ProofFailed(Exception):
    """The value is well formed, and what it claims does not follow."""
