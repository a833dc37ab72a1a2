"""The weak runtime: namespaces, Landlock and seccomp, without any helper program and without root.

What the gate does is in `runtime.py`; what the supervisor and its children do (`jail.py` and what
it imports) uses the standard library only.
"""
