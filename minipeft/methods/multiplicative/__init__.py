"""Methods that multiply: by vectors, or by orthogonal matrices."""
