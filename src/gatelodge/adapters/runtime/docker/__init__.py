"""Instances in containers of Docker Engine (20.10 on) or Podman (4.3 on), by their common API.

Whoever can open the engine's socket is root on its machine, or the user that a rootless engine runs
as: so no engine is used but the one that `hosting.docker_url` names.
"""
