"""Methods that learn what the frozen model reads: vectors before the text, or keys and values in every layer."""
