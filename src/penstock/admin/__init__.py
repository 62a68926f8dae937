"""The control plane: metrics, configuration and deployments over HTTP, behind a credential of its own.

Its server and framework load with `admin.serve`, which the command line imports once the data plane listens; the
public face and the library never do.
"""
