"""minipeft: parameter-efficient fine-tuning from scratch."""
