"""One policy per file, each a `Layer(Call) -> Call`. They know of no other layer, store, provider or dialect."""
