"""Many trained adapters on one base: rows of a batch with an adapter each, sums, shared layers. Nothing is trained."""
