"""Recipes: networks, transforms and losses of packages that a hospital installed itself.

Rules:

1. A study names a package; nothing of any other is imported. Where the study has no files
   attached, nothing is imported at all: the processes that hold a hospital's keys attach them and
   never import, the process that trains imports.
2. What is installed is compared with the wheel of the study's digest, file by file, before the
   import; and what is imported is source whose bytes were compared as they were read. Compiled
   files beside it are never used.
3. What a recipe registers passes the same tests as what is built in.

``recipe`` is for those who write one; the other modules may change without notice.
"""
