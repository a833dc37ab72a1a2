"""Tools that fetch and prepare packages: they run as programs, and no code of a package does."""
