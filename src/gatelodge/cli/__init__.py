"""Commands, one file a noun; thin over the admin API."""
