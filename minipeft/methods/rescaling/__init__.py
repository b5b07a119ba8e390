"""Methods that multiply what flows through the frozen model by learned vectors."""
