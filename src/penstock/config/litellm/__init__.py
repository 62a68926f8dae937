"""A LiteLLM proxy's configuration said as a `penstock.yaml`, and what of it could not be said. Reads no network.

`convert.py` is the door; `vendors.py` knows LiteLLM's names of providers, `deployments.py` its model list,
`settings.py` everything else, `written.py` how the result is written down.
"""
