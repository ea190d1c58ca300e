"""From a trained model to pictures; needs no training library."""
