"""What the course in `lessons/` runs on: judging answers, hints, progress, checked pages, measured chapters."""
