"""HTTP/1.1 as the endpoint speaks it: requests read off a socket, answers written to it."""
