"""The whole check of the logs: `audit fsck`."""
