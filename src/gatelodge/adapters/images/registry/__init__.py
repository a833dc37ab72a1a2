"""Images of registries, by the distribution specification."""
