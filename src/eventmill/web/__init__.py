"""The wire API: the contract's endpoints in their exact shapes."""
