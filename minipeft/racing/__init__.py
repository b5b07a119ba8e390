"""Many runs compared: entries, sweeps, worker processes, one table and one picture."""
