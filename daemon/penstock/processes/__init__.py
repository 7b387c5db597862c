"""Contained process trees and their proven end; knows no run and no log."""
