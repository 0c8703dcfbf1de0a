"""The fault suite: ``python -m tests.chaos`` (``make chaos``). docs/reliability.md has its figures."""
