"""Calls in which a server asks back: suspended for modern clients, looped for legacy ones."""
