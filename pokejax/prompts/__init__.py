"""What people write: the words, how they are matched, and what a prompt says."""
