"""Trust before installation: evidence gathered, cards made and decided on."""
