"""The service: pictures over HTTP, with exact seeds and dynamic batching."""

from pokejax.startup import explain_early_ends

explain_early_ends()
