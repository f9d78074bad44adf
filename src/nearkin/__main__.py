"""``python -m nearkin`` is the command ``nearkin``."""

from nearkin.cli import main

main()
