"""The doctor's client side: what needs the data of two silos is put together here."""
