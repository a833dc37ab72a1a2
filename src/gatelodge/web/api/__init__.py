"""The admin API: one file a noun, OpenAPI for free."""
