"""Configuration: what a user writes, checked and made into records. Reads files at load, and never after.

Two doors: `config/load.py` for a dict or nothing, `config/yaml_file.py` for a path. They are apart because the
YAML parser loads slowly, and whoever has no config file shall not wait for it; nothing else imports the second.
"""
