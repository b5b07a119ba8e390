"""Where a prompt may start: unlabelled text, pseudo labels, and the prompts of related tasks."""
