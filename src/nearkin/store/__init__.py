"""A collection's truth and its derived index on disk.

SQLite holds ids and metadata and is the commit point; vectors are raw little-endian rows in an append-only file; the
built index lies beside them and can be deleted without loss. Start with `nearkin.store.folder.Folder`.
"""

from nearkin.store.built import Built
from nearkin.store.folder import Folder
from nearkin.store.header import Header
from nearkin.store.replacement import write_folder

__all__ = ["Built", "Folder", "Header", "write_folder"]
