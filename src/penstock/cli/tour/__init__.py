"""What `penstock demo` shows: a gateway on simulated providers, a tour of it, and a screen to show it on."""
