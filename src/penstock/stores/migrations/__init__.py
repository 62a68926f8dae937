"""The stores' schemas: numbered files of plain SQL, applied in order (`stores/sqlite.py`)."""
