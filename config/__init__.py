"""What the house stands on; imports nothing of ours."""
