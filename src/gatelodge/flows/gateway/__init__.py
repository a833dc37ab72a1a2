"""The call path and everything round it: lists, streams, sessions, cutting."""
