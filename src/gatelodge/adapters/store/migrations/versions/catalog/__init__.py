"""Steps that bring what the catalog needs: they follow those beside this folder."""
