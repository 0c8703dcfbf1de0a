"""The version of this project, known also where it runs from its folder and is not installed."""

VERSION = "0.2.0"
