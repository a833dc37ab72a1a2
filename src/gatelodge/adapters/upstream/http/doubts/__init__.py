"""Answers to one request that may speak for more: a 401 for our secret, a 404 for our session.

Neither is believed at once: a member could take a server from all others with a call that it
refuses. The secret is read anew beside the traffic, and the session is asked whether it is there.
"""
