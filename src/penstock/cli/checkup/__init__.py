"""What `penstock doctor` looks at: each file one part of what a gateway needs, each finding with its fix."""
