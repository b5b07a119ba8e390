"""Methods that put small networks between the frozen layers."""
