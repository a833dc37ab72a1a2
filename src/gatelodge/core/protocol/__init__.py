"""The wire without the wires: envelopes, eras, names, handshakes."""
