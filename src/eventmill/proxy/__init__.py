"""A forward proxy on loopback, through which official clients reach a gateway under Adobe's host names."""
