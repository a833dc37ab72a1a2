"""Pages of people: who is here, what each holds, does and did."""
