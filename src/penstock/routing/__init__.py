"""Which provider and model a request goes to: pure functions over values, no await, no clock, no socket."""
