"""The vault: values sealed by keys of their own, which a root wraps."""
