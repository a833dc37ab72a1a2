"""Who is calling, the tokens they hold, and how access ends."""
