"""Instances in containers that runc, crun or gVisor (runsc) starts, without any daemon."""
