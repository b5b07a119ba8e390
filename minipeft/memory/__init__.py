"""What a training step takes: counted on real tensors, or planned for models that no laptop holds."""
