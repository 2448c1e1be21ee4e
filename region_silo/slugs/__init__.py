"""The slugs that control gave to organizations of this region."""
