"""Labels from a vision model: questions, requests, and what they cost."""
