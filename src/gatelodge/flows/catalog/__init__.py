"""What servers say of themselves, compared with what was approved."""
