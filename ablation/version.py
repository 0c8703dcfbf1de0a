"""The version of this project, known even if it runs from its folder and is not installed."""

VERSION = "0.2.0"
