"""From a trained model to pictures, without any training library."""
