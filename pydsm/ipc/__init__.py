"""The operating system: each package that talks to it has one importer here."""
