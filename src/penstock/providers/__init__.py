"""Who answers: the catalogue of vendors, how each is reached and authenticated, and the simulated one."""
