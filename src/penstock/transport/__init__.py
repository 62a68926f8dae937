"""The only rooms that open connections to the outside, over TCP or in memory."""
