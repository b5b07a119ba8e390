"""The generators behind data/: the tiny world, its texts, and the tasks made of them. Loading a task needs none."""
