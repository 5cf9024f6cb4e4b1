"""Signed bundles of released models, and their deployment to boards."""
