"""The arithmetic and the text forms of a transparency log; knows no word of the house above it.

It hashes, proves, reads and writes values. It never waits, stores or signs: tiles and nodes,
signers and verifiers come in as plain callables. Only the standard library is imported.
Sources: RFC 6962 and RFC 9162 for the tree; the C2SP specifications tlog-tiles, tlog-checkpoint,
signed-note and tlog-proof for what others read.
"""
