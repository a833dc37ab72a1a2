"""Instances of servers: counted, judged and recorded before anything reaches them."""
