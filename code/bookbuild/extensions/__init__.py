"""The Sphinx extensions, each named for what it brings to the pages.

Each module but `_shared` is one, and is named in ``_config.yml`` or by another. Imports
`bookbuild.source`, `bookbuild.run` and `bookbuild.notebooks`. What one extension tells another, or
keeps for a later event, stands in Sphinx's environment and not on the application.
"""
