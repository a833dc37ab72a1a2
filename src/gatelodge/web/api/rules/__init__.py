"""Routes of servers, tools and who may use them."""
