"""The built-in file formats; `nearkin_plugins.formats` announces them."""
