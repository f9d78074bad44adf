"""The trade-off report as a page, as Markdown, as tables and as pictures."""
