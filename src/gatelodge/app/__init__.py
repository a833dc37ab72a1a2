"""The one place that names concrete parts: builds, wires, closes."""
