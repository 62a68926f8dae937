"""What is kept or written, behind ports; the only rooms that know a driver."""
