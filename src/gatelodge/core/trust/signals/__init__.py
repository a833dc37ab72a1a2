"""The signals of the trust score, family by family: what evidence says, and how to mend it."""
