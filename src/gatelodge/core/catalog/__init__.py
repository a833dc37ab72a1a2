"""What may be reached: servers, their tools, the pin of each definition, drift from it."""
