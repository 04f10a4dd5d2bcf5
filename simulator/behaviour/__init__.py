"""What decides the next event: one `Behaviour` (model), and who makes it: `prior`, or `fit` from traces."""
