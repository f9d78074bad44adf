"""The built-in components, written against public names only, as anyone's plugin would be."""
