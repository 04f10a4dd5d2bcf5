"""What decides the next event: one `Behaviour` (model), and the teachers that make it: `prior`, and `fit` from traces."""
