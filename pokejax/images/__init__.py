"""Pictures as pixels: their colors, their clean-up, and sheets of them."""
