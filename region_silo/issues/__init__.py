"""Issues of projects, as far as releases resolve them: their links, inbox, history and resolutions."""
