"""The figures, a file a group; `GROUPS` says which group measures which ids."""
