"""Nouns declared once: their rows, how people name and see them, and the verbs that change them."""
