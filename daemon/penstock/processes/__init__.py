"""Contained process trees and their proven end (TERM, then KILL); knows no run and no log."""
