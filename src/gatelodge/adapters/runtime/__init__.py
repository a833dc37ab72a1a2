"""What runs the programs of servers, behind `ports/runtime.py`: one folder for each backend."""
