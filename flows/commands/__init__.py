"""The commands of `secured`, by what they are about. Heavy libraries are imported by the command that needs them."""
