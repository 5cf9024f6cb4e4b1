"""Boards that are reached over a link: what is kept on them, and how a job is run there."""
