"""Methods that train some of the model's own parameters and add none."""
