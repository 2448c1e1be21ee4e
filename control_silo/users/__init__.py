"""Users: control's own rows, of which regions hear only through the tokens that act for them."""
