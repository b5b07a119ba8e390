"""Fine-tuning: optimizers, schedules, batches, the trainer, evaluation and adapter files."""
