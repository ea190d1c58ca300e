"""What `pokejax.evaluate` is made of: metrics, features, judge, reference, report."""
