"""The one guarded way out over HTTP, which every adapter may use (decision 0026)."""
