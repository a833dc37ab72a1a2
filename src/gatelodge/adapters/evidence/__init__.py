"""What outside sources and packages themselves say of servers, each behind one port."""
