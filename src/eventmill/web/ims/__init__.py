"""The endpoints under `/ims`: where tokens are asked for, renewed, checked and ended."""
