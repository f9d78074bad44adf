"""The built-in components, written as a third party would write them: against nearkin's public names only."""
