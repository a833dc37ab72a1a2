"""Commands about servers, tools and who may use them."""
