"""Configurations of many clients, read into one list of servers: values and rules, nothing else."""
