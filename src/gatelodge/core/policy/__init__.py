"""May they? Grants, guardrails, the compiled decision and the rule that says so."""
