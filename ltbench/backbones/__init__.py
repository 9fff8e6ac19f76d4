"""Backbones of timm: made, frozen, forked, loaded, and computed once where several members share them."""
