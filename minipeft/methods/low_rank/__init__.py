"""Methods that add a low-rank update to frozen weights."""
