"""What documents of sources say, judged as values: times, versions, advisories, declarations."""
