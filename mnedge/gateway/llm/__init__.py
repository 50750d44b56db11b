"""Models behind one address: OpenAI's routes, passed on to the upstreams an operator configured."""
