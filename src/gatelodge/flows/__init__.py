"""What we do: each flow waits for ports, never for the outside itself."""
