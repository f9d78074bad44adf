"""The built-in metrics, one module a family; `nearkin_plugins.metrics` announces them."""
