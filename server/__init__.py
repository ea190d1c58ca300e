"""The service: pictures over HTTP, with exact seeds and dynamic batching."""
