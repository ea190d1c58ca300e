"""One creature as all the files that a game wants of it."""
