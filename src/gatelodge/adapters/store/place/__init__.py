"""The directory of the data: whose it is, and how much room its disk has."""
