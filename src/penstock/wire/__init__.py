"""Bytes to vocabulary and back, pure: no await, no clock, no socket. One module per dialect."""
