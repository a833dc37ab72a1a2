"""What it costs to host a server: as a child process, in the weak tier, in runc and in gVisor."""
